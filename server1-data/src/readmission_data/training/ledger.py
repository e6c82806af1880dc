"""The runs of earlier trainings: finished ones are found again, killed ones are closed."""

import json
import logging
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from mlflow import MlflowClient
from mlflow.entities import LifecycleStage, Run, RunStatus
from mlflow.exceptions import MlflowException

from readmission_data.errors import TrackingError
from readmission_data.training.result import TrainingResult

log = logging.getLogger(__name__)

EXPERIMENT: Final = "diabetes_readmission_training"

ROLE: Final = "readmission.role"
TRAINING: Final = "training"
CANDIDATE: Final = "candidate"
KEY: Final = "training_key"
RESULT: Final = "training_result"
_PARENT: Final = "mlflow.parentRunId"


def experiment(client: MlflowClient, tracking_uri: str, name: str = EXPERIMENT) -> str:
    """Return the id of the experiment, which is created if it does not exist.

    If the tracking store is a local SQLite file, artifacts go to `artifacts/` next to it; MLflow itself would
    put them into the process's working directory. Raise TrackingError if the experiment is in MLflow's trash.
    """
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, artifact_location=_beside(tracking_uri, name)))
        except MlflowException:
            # Another process was faster.
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    if found.lifecycle_stage == LifecycleStage.DELETED:
        raise TrackingError(
            f"the experiment {name} is in MLflow's trash: restore it with "
            f"`mlflow experiments restore --experiment-id {found.experiment_id}`, or rename it"
        )
    return str(found.experiment_id)


def finished(client: MlflowClient, experiment_id: str, key: str) -> TrainingResult | None:
    """Return the result of the finished training with this key, or None.

    A training counts only if its run succeeded and recorded its result, and its model is still stored.
    """
    runs = _search(
        client, experiment_id, f"tags.{KEY} = '{key}' and tags.`{ROLE}` = '{TRAINING}'", "FINISHED"
    )
    for run in runs:
        if RESULT not in run.data.tags:
            continue
        result = TrainingResult.from_json(json.loads(run.data.tags[RESULT]) | {"reused": True})
        if _has_model(client, result):
            return result
        log.warning("run %s finished, but its model is gone: training again", run.info.run_id)
    return None


def close_interrupted(client: MlflowClient, experiment_id: str) -> int:
    """End the trainings that a killed process left running, and return how many there were.

    They and their candidates, the complete ones too, become KILLED, and the candidates' logged models are
    deleted: no one is to count or compare them. The caller holds the lock of trainings, so no other process
    still works on any of them.
    """
    running = _search(client, experiment_id, f"tags.`{ROLE}` = '{TRAINING}'", "RUNNING")
    for run in running:
        children = _search(client, experiment_id, f"tags.`{_PARENT}` = '{run.info.run_id}'")
        for child in children:
            _delete_models(client, experiment_id, child.info.run_id)
            client.set_terminated(child.info.run_id, RunStatus.to_string(RunStatus.KILLED))
        # The parent last: killed in here, the next training finds it running and starts over.
        client.set_terminated(run.info.run_id, RunStatus.to_string(RunStatus.KILLED))
        log.warning("closed training run %s, which was interrupted", run.info.run_id)
    return len(running)


def _search(client: MlflowClient, experiment_id: str, filters: str, status: str | None = None) -> list[Run]:
    if status:
        filters += f" and attributes.status = '{status}'"
    runs: list[Run] = []
    token: str | None = None
    while True:
        page = client.search_runs([experiment_id], filters, page_token=token)
        runs += page
        token = page.token
        if not token:
            return runs


def _delete_models(client: MlflowClient, experiment_id: str, run_id: str) -> None:
    models = client.search_logged_models([experiment_id], filter_string=f"source_run_id = '{run_id}'")
    for model in models:
        client.delete_logged_model(model.model_id)


def _has_model(client: MlflowClient, result: TrainingResult) -> bool:
    try:
        model = client.get_logged_model(result.model_uri.removeprefix("models:/"))
        return bool(client.list_logged_model_artifacts(model.model_id))
    except (MlflowException, OSError):
        return False


def _beside(tracking_uri: str, name: str) -> str | None:
    if not tracking_uri.startswith("sqlite:"):
        return None
    database = sa.make_url(tracking_uri).database
    return (Path(database).resolve().parent / "artifacts" / name).as_uri() if database else None
