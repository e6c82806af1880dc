"""A generated data set that the quality script measures on."""

from pathlib import Path

import pytest

from readmission_data.dataset import synthetic


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic CSV of 3,000 encounters."""
    path = tmp_path_factory.mktemp("quality") / "diabetic_data.csv"
    synthetic.write(path, encounters=3_000, seed=7)
    return path
