"""A training that is killed at random points leaves nothing that counts, and ends like an undisturbed one."""

import json
import signal

import numpy as np
import pandas as pd
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts

from readmission_data.training import ledger
from readmission_data.training.result import TrainingResult, load_estimator
from readmission_data.training.run import train
from support import killing

KILLS = 6
CANDIDATES = ("logistic_regression", "lightgbm")


def finish(settings):
    """Train in a process of its own, and return what the one finished run says."""
    process = killing.start(train, settings)
    process.join(300)
    assert process.exitcode == 0
    client = MlflowClient(settings.tracking_uri)
    experiment = client.get_experiment_by_name(ledger.EXPERIMENT)
    runs = client.search_runs([experiment.experiment_id], "attributes.status = 'FINISHED'")
    told = [run.data.tags[ledger.RESULT] for run in runs if ledger.RESULT in run.data.tags]
    assert len(told) == 1, "one training has finished"
    return TrainingResult.from_json(json.loads(told[0]))


def left(settings, result):
    """Metrics and scores of the runs that count, by candidate; times differ and are left out."""
    client = MlflowClient(settings.tracking_uri)
    found = {}
    for child in client.search_runs([result.experiment_id], "attributes.status = 'FINISHED'"):
        if child.data.tags[ledger.ROLE] == ledger.TRAINING:
            continue
        scores = download_artifacts(
            run_id=child.info.run_id, artifact_path="scores", tracking_uri=settings.tracking_uri
        )
        name = child.data.tags["candidate"]
        assert name not in found, "a candidate counts twice"
        figures = {key: value for key, value in child.data.metrics.items() if key != "fit_seconds"}
        tables = {
            split: pd.read_parquet(f"{scores}/{split}.parquet").to_csv() for split in ("validation", "test")
        }
        found[name] = (figures, tables)
    return found


def test_a_killed_training_is_closed_and_done_again(prepared, new_store):
    settings = prepared.model_copy(update={"tracking_uri": new_store(), "candidates": CANDIDATES})
    undisturbed = settings.model_copy(update={"tracking_uri": new_store()})
    statements = killing.count_statements(train, undisturbed)
    client = MlflowClient(settings.tracking_uri)
    closed = 0
    # Spread over the whole training, from the first read of CleanData to the word that it has finished.
    for point in np.random.default_rng(11).uniform(np.arange(KILLS), np.arange(1, KILLS + 1)) / KILLS:
        process = killing.start_and_die(1 + int(point * statements), train, settings)
        process.join(300)
        assert process.exitcode == -signal.SIGKILL
        experiment = client.get_experiment_by_name(ledger.EXPERIMENT)
        if experiment:
            found = [experiment.experiment_id]
            closed = len(client.search_runs(found, "attributes.status = 'KILLED'"))
            assert len(client.search_runs(found, "attributes.status = 'FINISHED'")) <= len(CANDIDATES)
    assert closed, "no kill hit a run: the test proves nothing"

    result = finish(settings)

    runs = client.search_runs([result.experiment_id])
    statuses = {run.info.status for run in runs}
    assert statuses == {"FINISHED", "KILLED"}
    finished = [run for run in runs if run.info.status == "FINISHED"]
    parents = [run.info.run_id for run in finished if run.data.tags[ledger.ROLE] == ledger.TRAINING]
    assert parents == [result.run_id]
    assert {run.data.tags.get("mlflow.parentRunId") for run in finished} == {None, result.run_id}
    assert left(settings, result) == left(undisturbed, finish(undisturbed))
    models = client.search_logged_models([result.experiment_id])
    assert {model.source_run_id for model in models} == {
        run.info.run_id for run in finished if run.info.run_id != result.run_id
    }
    assert load_estimator(settings, result) is not None
    # Once more: found again, and nothing is added.
    assert finish(settings) == result
    assert len(client.search_runs([result.experiment_id])) == len(runs)
