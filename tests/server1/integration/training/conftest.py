"""CleanData made by the real pipeline from a small generated sample, and empty MLflow stores."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient

from readmission_data.clean import tasks
from readmission_data.dataset import synthetic
from readmission_data.raw import load
from readmission_data.settings import DataSettings


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> DataSettings:
    """Settings whose RawData and CleanData hold a generated sample; nothing may write to them."""
    folder = tmp_path_factory.mktemp("prepared")
    synthetic.write(folder / "synthetic.csv", encounters=4_000, seed=5)
    settings = DataSettings(
        dataset=str(folder / "synthetic.csv"),
        raw_url=f"sqlite:///{folder / 'raw.db'}",
        clean_url=f"sqlite:///{folder / 'clean.db'}",
        staging_dir=folder / "staging",
        cache_dir=folder / "cache",
        search_trials=1,
        bootstrap_samples=100,
        git_commit="0123abcd",
    )
    list(load.load_all(settings))
    tasks.preprocess(settings, "prepared")
    return settings


@pytest.fixture(scope="session")
def _migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # MLflow takes seconds to make its tables: once, and then a copy for each test.
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture(scope="session")
def new_store(_migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], str]:
    """Call it for the tracking URI of an empty store."""

    def create() -> str:
        folder = tmp_path_factory.mktemp("tracking")
        shutil.copy(_migrated, folder / "mlflow.db")
        return f"sqlite:///{folder / 'mlflow.db'}"

    return create
