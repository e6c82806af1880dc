"""Trainings on a generated sample, once as synthetic data and once as a hospital's own data."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from readmission_data.clean import tasks
from readmission_data.dataset import synthetic
from readmission_data.dataset.inspection import SYNTHETIC_PREFIX
from readmission_data.raw.load import load_all
from readmission_data.settings import DataSettings
from readmission_data.training.result import TrainingResult
from readmission_data.training.run import train

ENCOUNTERS = 3_000


@dataclass(frozen=True)
class Trained:
    """Settings of a data set, and finished but unregistered trainings on it."""

    settings: DataSettings
    first: TrainingResult
    second: TrainingResult


def _prepare(folder: Path, csv: Path, tracking_uri: str) -> Trained:
    settings = DataSettings(
        dataset=str(csv),
        raw_url=f"sqlite:///{folder / 'raw.db'}",
        clean_url=f"sqlite:///{folder / 'clean.db'}",
        staging_dir=folder / "staging",
        cache_dir=folder / "cache",
        tracking_uri=tracking_uri,
        candidates=("lightgbm",),
        search_trials=1,
        bootstrap_samples=100,
    )
    list(load_all(settings))
    tasks.preprocess(settings, "run")
    other = settings.model_copy(update={"candidates": ("logistic_regression",)})
    return Trained(settings, train(settings), train(other))


@pytest.fixture(scope="session")
def trainings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Trained]:
    """Trainings by kind of data, `synthetic` and `own`, all in one MLflow."""
    folder = tmp_path_factory.mktemp("trainings")
    tracking_uri = f"sqlite:///{folder / 'mlflow.db'}"
    sample, own = folder / "sample.csv", folder / "own.csv"
    synthetic.write(sample, ENCOUNTERS, seed=3)
    # Only its numbers distinguish a generated encounter from a real one.
    own.write_bytes(sample.read_bytes().replace(SYNTHETIC_PREFIX.encode(), b"12345678"))
    found = {}
    for kind, csv in (("synthetic", sample), ("own", own)):
        (folder / kind).mkdir()
        found[kind] = _prepare(folder / kind, csv, tracking_uri)
    return found


def in_copy(trainings: dict[str, Trained], mlflow_database: Path, copy: Path) -> dict[str, Trained]:
    """Return the same trainings in a copy of an MLflow."""
    copy.write_bytes(mlflow_database.read_bytes())
    return {
        kind: Trained(
            trained.settings.model_copy(update={"tracking_uri": f"sqlite:///{copy}"}),
            trained.first,
            trained.second,
        )
        for kind, trained in trainings.items()
    }


def database(trained: Trained) -> Path:
    """Return the file of a training's MLflow."""
    return Path(trained.settings.tracking_uri.removeprefix("sqlite:///"))


@pytest.fixture
def registry(trainings: dict[str, Trained], tmp_path: Path) -> dict[str, Trained]:
    """The same trainings in a copy of that MLflow, where nothing is registered yet."""
    return in_copy(trainings, database(trainings["own"]), tmp_path / "mlflow.db")
