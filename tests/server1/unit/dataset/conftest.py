from pathlib import Path

import pytest

from readmission_data.dataset import synthetic
from readmission_data.dataset.inspection import SYNTHETIC_PREFIX


@pytest.fixture(scope="session")
def sample_csv(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """300 generated encounters."""
    path = tmp_path_factory.mktemp("sample") / "sample.csv"
    synthetic.write(path, 300, seed=7)
    return path.read_bytes()


@pytest.fixture(scope="session")
def own_csv(sample_csv: bytes) -> bytes:
    """The same with numbers that a hospital could have assigned, indistinguishable from real ones."""
    return sample_csv.replace(SYNTHETIC_PREFIX.encode(), b"12345678")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"
