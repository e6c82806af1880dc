"""Read versions of the registered model from MLflow."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import onnxruntime
import pandas as pd
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from readmission_data import tracking
from readmission_data.errors import RegistryError
from readmission_data.model_version import input_schema, manifest, scoring
from readmission_data.model_version.contract import (
    MANIFEST_FILE,
    MANIFEST_TAG,
    MODEL_FILE,
    MODEL_NAME,
    SCHEMA_FILE,
    SCHEMA_VERSION,
    TRAINING_RUN,
    InputSchema,
)


@dataclass(frozen=True)
class Version:
    """A version whose files are complete and match the manifest."""

    number: str
    schema: InputSchema
    session: onnxruntime.InferenceSession

    def score(self, frame: pd.DataFrame) -> scoring.Scores:
        """Return the risk [n] of each row of an encounters frame."""
        return scoring.score(self.session, frame, self.schema.graph.numeric, self.schema.graph.categorical)


def of_training(client: MlflowClient, training_run: str) -> ModelVersion | None:
    """Return the one version of a training, or None.

    If there are several (two processes registered at once, or a request was sent twice), keep the first and
    delete the others, unless an alias points to them.
    """
    found = client.search_model_versions(f"name = '{MODEL_NAME}' and tags.{TRAINING_RUN} = '{training_run}'")
    if not found:
        return None
    first, *others = sorted(found, key=lambda version: int(version.version))
    for other in others:
        if not client.get_model_version(MODEL_NAME, other.version).aliases:
            client.delete_model_version(MODEL_NAME, other.version)
    return client.get_model_version(MODEL_NAME, first.version)


def load(client: MlflowClient, number: str) -> Version:
    """Download a version and check it, as server 3 does.

    Raise `RegistryError` if it does not exist, a file is missing or differs from the manifest, or the schema
    has a major version that this code does not support.
    """
    try:
        expected = client.get_model_version(MODEL_NAME, number).tags.get(MANIFEST_TAG)
        with tempfile.TemporaryDirectory(prefix="readmission-") as folder:
            return _read(number, expected, Path(folder))
    except (MlflowException, OSError, ValueError, RegistryError) as error:
        raise RegistryError(
            f"version {number} of {MODEL_NAME} cannot be read: {tracking.first_line(error)}"
        ) from error


def _read(number: str, expected: str | None, folder: Path) -> Version:
    for name in (MANIFEST_FILE, *manifest.FILES):
        download_artifacts(f"models:/{MODEL_NAME}/{number}/{name}", dst_path=str(folder))
    manifest.check(folder, expected)
    schema = input_schema.read(folder / SCHEMA_FILE)
    if schema.schema_version.partition(".")[0] != SCHEMA_VERSION.partition(".")[0]:
        raise RegistryError(f"its schema has version {schema.schema_version}, which this code does not know")
    return Version(number, schema, scoring.session((folder / MODEL_FILE).read_bytes()))
