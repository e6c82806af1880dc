"""The tasks of `train_and_register`: read the settings, call the logic, pass on ids and figures."""

import dataclasses
import warnings
from typing import Any

# skops looks up NumPy's functions in every loaded module, when it is imported and when it reads a model. Each
# of Airflow's deprecated names then emits a warning: a thousand lines in a task's log.
warnings.filterwarnings("ignore", "The `airflow", module=r"skops\.")

from readmission_data.registry.register import register
from readmission_data.settings import DataSettings
from readmission_data.training.result import TrainingResult
from readmission_data.training.run import train


def train_candidates() -> dict[str, Any]:
    """Task 1 of `train_and_register`: train every candidate and record it in MLflow."""
    return train(DataSettings()).to_json()


def register_best(training: dict[str, Any]) -> dict[str, Any]:
    """Task 2 of `train_and_register`: register the best one as a version, and move the aliases."""
    return dataclasses.asdict(register(DataSettings(), TrainingResult.from_json(training)))
