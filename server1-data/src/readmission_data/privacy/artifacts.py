"""What MLflow holds of erased patients: rows that earlier releases stored with trainings, and versions."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from readmission_data import tracking
from readmission_data.model_version.contract import MODEL_NAME, TRAINING_RUN
from readmission_data.settings import DataSettings
from readmission_data.training.ledger import EXPERIMENT

_FOLDERS: Final = ("processed", "scores")
_KEY: Final = "encounter_id"


def erase(settings: DataSettings, encounters: Sequence[int]) -> int:
    """Remove the rows of some encounters from the tables that trainings stored; return how many rows.

    Raise `TrackingError` if MLflow is away. Files are replaced atomically; a repeated run handles the rest.
    """
    client = tracking.connect(settings)
    with tracking.named_errors():
        return sum(_erase(client, run, set(encounters)) for run in _runs(client))


def trained_versions(settings: DataSettings, batches: Sequence[int]) -> tuple[str, ...]:
    """Return the model versions whose training read one of these batches, in order.

    Raise `TrackingError` if MLflow is away.
    """
    client, wanted = tracking.connect(settings), set(batches)
    with tracking.named_errors():
        return tuple(str(one.version) for one in _versions(client) if _batches(client, one) & wanted)


def _runs(client: MlflowClient) -> Iterator[Run]:
    found = client.get_experiment_by_name(EXPERIMENT)
    token: str | None = ""
    while found is not None and token is not None:
        page = client.search_runs([found.experiment_id], page_token=token or None)
        yield from page
        token = page.token or None


def _erase(client: MlflowClient, run: Run, encounters: set[int]) -> int:
    count = 0
    for folder in _FOLDERS:
        for item in client.list_artifacts(run.info.run_id, folder):
            with TemporaryDirectory(prefix="readmission-") as place:
                path = Path(client.download_artifacts(run.info.run_id, item.path, place))
                frame = pd.read_parquet(path)
                if _KEY not in frame or not (theirs := frame[_KEY].isin(encounters)).any():
                    continue
                frame[~theirs].to_parquet(path, index=False)
                client.log_artifact(run.info.run_id, str(path), folder)
                count += int(theirs.sum())
    return count


def _versions(client: MlflowClient) -> list[ModelVersion]:
    return sorted(
        client.search_model_versions(f"name = '{MODEL_NAME}'", max_results=10_000),
        key=lambda version: int(version.version),
    )


def _batches(client: MlflowClient, version: ModelVersion) -> set[int]:
    """Return the batches that the training of a version read; none if its run is gone."""
    run_id = version.tags.get(TRAINING_RUN)
    if run_id is None:
        return set()
    try:
        listed = client.get_run(run_id).data.params.get("batches", "")
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return set()
    return {int(batch) for batch in listed.split(",") if batch}
