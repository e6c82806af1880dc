"""A generated sample of encounters, read as from RawData."""

import pandas as pd
import pytest

from readmission_data.clean import cohort
from readmission_data.dataset import synthetic
from support.encounters import read_csv


@pytest.fixture(scope="session")
def encounters(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    path = tmp_path_factory.mktemp("sample") / "sample.csv"
    synthetic.write(path, encounters=4_000, seed=3)
    return read_csv(path)


@pytest.fixture(scope="session")
def train(encounters: pd.DataFrame) -> pd.DataFrame:
    return encounters[cohort.keep(encounters)].reset_index(drop=True)
