"""The result of a training, and how the next task reads it from another process or host."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Self

import pandas as pd
import skops.io
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.exceptions import MlflowException
from sklearn.base import ClassifierMixin

from readmission_data.clean.encoding import Encoding
from readmission_data.clean.tables import read_features
from readmission_data.errors import TrainingError
from readmission_data.settings import DataSettings
from readmission_data.training.candidates import TRUSTED_TYPES
from readmission_data.training.lineage import Lineage

ENCODING_FILE: Final = "feature_encoding.parquet"
FEATURES_FILE: Final = "feature_info.parquet"
LINEAGE_FILE: Final = "lineage.json"
SUBGROUPS_FILE: Final = "subgroups.json"

# The file name of MLflow's scikit-learn flavor.
_MODEL_FILE: Final = "model.skops"


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """The finished run of a training and its best candidate; ids and figures only, so that JSON can hold it.

    `run_id` is the parent run, `best_run_id` the best candidate's child run, `model_uri` its logged model.
    `choosing_average_precision` is what it was chosen by. `reused` means that an equal training had finished
    before, and nothing was trained.
    """

    experiment_id: str
    run_id: str
    best_run_id: str
    candidate: str
    model_uri: str
    threshold: float
    flagged_fraction: float
    choosing_average_precision: float
    dataset: str
    dataset_sha256: str
    training_key: str
    reused: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return a dictionary that JSON can hold."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """Return the result that `to_json` returned."""
        return cls(**values)


def load_estimator(settings: DataSettings, result: TrainingResult) -> ClassifierMixin:
    """Return the best candidate, fitted; `predict_proba` takes float32 [n, features] by rank.

    It is loaded with skops, which builds only the types in `TRUSTED_TYPES`: nothing is unpickled. Raise
    `TrainingError` if the model is not in the artifact store.
    """
    client = MlflowClient(settings.tracking_uri)
    with TemporaryDirectory(prefix="readmission-") as folder:
        try:
            # By its path, not its `models:/` URI, which MLflow resolves in the process's own tracking server.
            model = client.get_logged_model(result.model_uri.removeprefix("models:/"))
            path = download_artifacts(
                artifact_uri=f"{model.artifact_location}/{_MODEL_FILE}",
                dst_path=folder,
                tracking_uri=settings.tracking_uri,
            )
        except (MlflowException, OSError) as error:
            raise TrainingError(
                f"the model of run {result.best_run_id} is not in MLflow's artifact store: train again"
            ) from error
        return skops.io.load(path, trusted=list(TRUSTED_TYPES))


def load_encoding(settings: DataSettings, result: TrainingResult) -> Encoding:
    """Return the encoding of the features that the candidates were trained on, by rank.

    CleanData may contain another one by now. Raise `TrainingError` if it is not in the artifact store.
    """
    features = read_features(_read_frame(settings, result.run_id, FEATURES_FILE))
    return Encoding.from_frame(features, _read_frame(settings, result.run_id, ENCODING_FILE))


def load_metrics(settings: DataSettings, result: TrainingResult) -> dict[str, float]:
    """Return the best candidate's metrics, such as `test_roc_auc` and `test_roc_auc_low`."""
    return dict(MlflowClient(settings.tracking_uri).get_run(result.best_run_id).data.metrics)


def load_lineage(settings: DataSettings, result: TrainingResult) -> Lineage:
    """Return the lineage of the training."""
    return Lineage.from_json(_read_json(settings, result.run_id, LINEAGE_FILE))


def load_subgroups(settings: DataSettings, result: TrainingResult) -> pd.DataFrame:
    """Return the best candidate's table by group on test; its columns are those of `subgroups`."""
    return pd.DataFrame(**_read_json(settings, result.best_run_id, SUBGROUPS_FILE))


def _read_json(settings: DataSettings, run_id: str, path: str) -> dict[str, Any]:
    with _downloaded(settings, run_id, path) as file:
        values: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return values


def _read_frame(settings: DataSettings, run_id: str, path: str) -> pd.DataFrame:
    with _downloaded(settings, run_id, path) as file:
        return pd.read_parquet(file)


@contextmanager
def _downloaded(settings: DataSettings, run_id: str, path: str) -> Iterator[Path]:
    with TemporaryDirectory(prefix="readmission-") as folder:
        try:
            found = download_artifacts(
                run_id=run_id, artifact_path=path, dst_path=folder, tracking_uri=settings.tracking_uri
            )
        except (MlflowException, OSError) as error:
            raise TrainingError(f"{path} of run {run_id} is not in MLflow's artifact store") from error
        yield Path(found)
