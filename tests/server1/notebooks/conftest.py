"""All four notebooks, run one after the other on a generated sample, as on a new machine."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
import pytest

from readmission_data.dataset import synthetic
from readmission_data.registry.register import register
from readmission_data.settings import NotebookSettings
from readmission_data.training.run import train
from server1.notebooks.support import running
from server1.notebooks.support.predictions import write_log

NAMES = ("01_load_raw_data", "02_verify_preprocessing", "03_experiments", "04_monitoring")
ENCOUNTERS = 3_000
PREDICTIONS = 900


def environment(folder: Path) -> dict[str, str]:
    """Return the settings of a machine whose state is in `folder`, small and quick."""
    return {
        "READMISSION_DATASET": str(folder / "sample.csv"),
        "READMISSION_RAW_URL": f"sqlite:///{folder / 'raw.db'}",
        "READMISSION_CLEAN_URL": f"sqlite:///{folder / 'clean.db'}",
        "READMISSION_PREDICTION_LOG_URL": f"sqlite:///{folder / 'predictions.db'}",
        "READMISSION_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}",
        "READMISSION_STAGING_DIR": str(folder / "staging"),
        "READMISSION_CACHE_DIR": str(folder / "cache"),
        "READMISSION_BATCH_SIZE": "900",
        "READMISSION_SEARCH_TRIALS": "1",
        "READMISSION_BOOTSTRAP_SAMPLES": "100",
        "READMISSION_CANDIDATES": '["logistic_regression", "lightgbm"]',
        "READMISSION_MONITORED_PERIODS": "3",
        "OMP_NUM_THREADS": "1",
    }


@dataclass
class Machine:
    """A folder with databases, and the notebooks that ran on them."""

    folder: Path
    settings: dict[str, str]
    notebooks: dict[str, nbformat.NotebookNode] = field(default_factory=dict)


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """The notebooks' run: 01 loads, 02 preprocesses, 03 tries models; a model is registered and used; 04."""
    folder = tmp_path_factory.mktemp("machine")
    found = Machine(folder, environment(folder))
    synthetic.write(folder / "sample.csv", encounters=ENCOUNTERS, seed=11)
    lines = (folder / "sample.csv").read_bytes().split(b"\r\n")
    lines[100] = lines[100].replace(b"Female", b"unknown").replace(b"Male", b"unknown")
    (folder / "sample.csv").write_bytes(b"\r\n".join(lines))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in found.settings.items():
            patch.setenv(name, value)
        for name in NAMES[:3]:
            found.notebooks[name] = running.run(name, found.settings)
        settings = NotebookSettings(candidates=("logistic_regression",))
        register(settings, train(settings))
        write_log(folder / "predictions.db", settings, PREDICTIONS, shifted_from=2 / 3)
        found.notebooks[NAMES[3]] = running.run(NAMES[3], found.settings)
        yield found


@pytest.fixture
def copy(machine: Machine, tmp_path: Path) -> Machine:
    """A copy of the machine's databases, to break; MLflow and the sample are shared."""
    for name in ("raw.db", "clean.db", "predictions.db"):
        shutil.copy(machine.folder / name, tmp_path / name)
    shared = ("READMISSION_DATASET", "READMISSION_TRACKING_URI", "READMISSION_CACHE_DIR")
    settings = environment(tmp_path) | {name: machine.settings[name] for name in shared}
    return Machine(tmp_path, settings)


@pytest.fixture(scope="session", autouse=True)
def _quiet() -> None:
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
