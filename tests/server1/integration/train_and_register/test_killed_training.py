"""A training that is killed twenty times has the same result as an undisturbed one.

Identical means: the runs that count (FINISHED) are one training and one child per candidate, and their
parameters, metrics and files are the same, bit for bit; so are RawData and CleanData. What may differ: ids of
runs, experiments and models, times (`fit_seconds` is one), and the bytes of the estimator's own folder, where
skops and MLflow write such ids: the estimator is read back and scores the same, bit for bit.
"""

import hashlib
import json
import logging
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts

from readmission_data.training import ledger
from readmission_data.training.data import read
from readmission_data.training.result import TrainingResult, load_estimator
from readmission_data.training.run import train
from readmission_data.training.search import risk
from support import checksums, kill_points

from .conftest import put_aside

KILLS = 20
SEED = 11
IDS = {"experiment_id", "run_id", "best_run_id", "model_uri", "reused"}

pytestmark = pytest.mark.mysql
_LOG = logging.getLogger(__name__)


def finished(client: MlflowClient, experiment_id: str, role: str) -> list:
    return client.search_runs(
        [experiment_id], f"attributes.status = 'FINISHED' and tags.`{ledger.ROLE}` = '{role}'"
    )


def told(settings, result: TrainingResult, folder: Path) -> dict:
    """Everything that a training left and that must be the same for another."""
    client = MlflowClient(settings.tracking_uri)
    found = {"result": {name: value for name, value in result.to_json().items() if name not in IDS}}
    for role in (ledger.TRAINING, ledger.CANDIDATE):
        (run,) = finished(client, result.experiment_id, role)
        assert run.info.run_id == (result.run_id if role == ledger.TRAINING else result.best_run_id)
        copy = Path(download_artifacts(run_id=run.info.run_id, dst_path=str(folder / role)))
        found[role] = {
            "parameters": run.data.params,
            "metrics": {name: value for name, value in run.data.metrics.items() if name != "fit_seconds"},
            "files": {
                str(path.relative_to(copy)): hashlib.sha256(path.read_bytes()).hexdigest()
                for path in sorted(copy.rglob("*"))
                if path.is_file()
            },
            "tags": {name: run.data.tags.get(name) for name in (ledger.KEY, "candidate", "dataset_sha256")},
            "inputs": sorted((one.dataset.name, one.dataset.digest) for one in run.inputs.dataset_inputs),
        }
    rows = read(settings).test.features
    found["scores"] = risk(load_estimator(settings, result), rows).tobytes()
    return found


def test_a_training_killed_twenty_times(prepared, server, settled, tmp_path):
    settings = prepared["own"].model_copy(update={"tracking_uri": server.address})
    tables = checksums.of_raw(settings), checksums.of_clean(settings)
    client = MlflowClient(settings.tracking_uri)
    put_aside(settings)
    experiment = ledger.experiment(client, settings.tracking_uri)
    course = kill_points.follow(train, settings)
    expected = told(settings, course.result, tmp_path / "undisturbed")
    put_aside(settings)
    experiment = ledger.experiment(client, settings.tracking_uri)

    points = kill_points.draw(course, KILLS, SEED)
    # Out of order, so that the next kills hit a run that clears up after a late one. Only the last point may
    # lie behind the word that the training has finished.
    points[:-1] = np.random.default_rng(SEED).permutation(points[:-1])
    # Shown if the test fails.
    _LOG.warning("seed %d, %d steps in %.1f s: %s", SEED, len(course.steps), course.seconds, points)
    complete = 0
    for point in points:
        assert kill_points.killed(point, train, settings), f"the training ended before {point}"
        settled()
        running = client.search_runs([experiment], "attributes.status = 'RUNNING'")
        assert len([run for run in running if run.data.tags[ledger.ROLE] == ledger.TRAINING]) <= 1
        if point != points[-1]:
            assert not finished(client, experiment, ledger.TRAINING)
        complete += bool(finished(client, experiment, ledger.CANDIDATE))
    runs = client.search_runs([experiment])
    _LOG.warning("%d runs were begun, %d kills left a complete candidate", len(runs), complete)
    assert len(runs) > KILLS, "most kills hit no run: the test proves nothing"

    again = kill_points.follow(train, settings).result

    assert told(settings, again, tmp_path / "killed") == expected
    runs = client.search_runs([experiment])
    counting = {run.info.run_id for run in runs if run.info.status == "FINISHED"}
    assert counting == {again.run_id, again.best_run_id}
    assert {run.info.status for run in runs} == {"FINISHED", "KILLED"}
    # No model is left of a candidate that does not count.
    models = client.search_logged_models([experiment])
    assert [(model.source_run_id, str(model.status)) for model in models] == [(again.best_run_id, "READY")]
    assert (checksums.of_raw(settings), checksums.of_clean(settings)) == tables
    # Once more: found again, and nothing is added.
    assert json.dumps(train(settings).to_json() | {"reused": False}) == json.dumps(
        again.to_json() | {"reused": False}
    )
    assert len(client.search_runs([experiment])) == len(runs)
