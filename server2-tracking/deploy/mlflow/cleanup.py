"""Remove MLflow runs that nobody needs, with their models and artifacts.

A run is needed while it is younger than RUN_KEEP_DAYS, or if a model version comes from it or from one of its
child runs. The others are deleted. What is deleted, by this or by a person, can be restored for
DELETED_KEEP_DAYS; then it is gone for good. A needed run that somebody deleted is restored, because the files
of the version would go with it.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from mlflow import MlflowClient
from mlflow.cli import gc
from mlflow.entities import Run, ViewType

RUN_KEEP_DAYS = float(os.environ["RUN_KEEP_DAYS"])
DELETED_KEEP_DAYS = float(os.environ["DELETED_KEEP_DAYS"])
STORE = os.environ["MLFLOW_BACKEND_STORE_URI"]
PARENT = "mlflow.parentRunId"
DAY_MILLISECONDS = 86_400_000


def pages(search: Callable[..., Any], **arguments: object) -> Iterator[Any]:
    """Yield what a search of MLflow's client finds, all of its pages."""
    token = None
    while True:
        page = search(**arguments, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def needed(runs: dict[str, Run], behind_versions: set[str]) -> set[str]:
    """Return the runs behind a model version, and their parents."""
    found = set()
    for run_id in behind_versions & runs.keys():
        one: Run | None = runs[run_id]
        while one is not None and one.info.run_id not in found:
            found.add(one.info.run_id)
            one = runs.get(one.data.tags.get(PARENT, ""))
    return found


def main() -> None:
    """Delete old runs, then remove for good what was deleted long ago."""
    client = MlflowClient()
    experiments = list(pages(client.search_experiments, view_type=ViewType.ALL))
    places = [one.experiment_id for one in experiments]
    runs = {
        run.info.run_id: run
        for run in pages(client.search_runs, experiment_ids=places, run_view_type=ViewType.ALL)
    }
    versions = list(pages(client.search_model_versions))
    keep = needed(runs, {one.run_id for one in versions})
    kept_models = {one.model_id for one in versions}

    kept_places = {runs[run_id].info.experiment_id for run_id in keep}
    for experiment in experiments:
        if experiment.lifecycle_stage == "deleted" and experiment.experiment_id in kept_places:
            client.restore_experiment(experiment.experiment_id)
    for run_id in sorted(keep):
        if client.get_run(run_id).info.lifecycle_stage == "deleted":
            client.restore_run(run_id)
            sys.stdout.write(f"cleanup: restored run {run_id}, which a model version comes from\n")

    oldest = time.time() * 1000 - RUN_KEEP_DAYS * DAY_MILLISECONDS
    old = {
        run_id
        for run_id, run in runs.items()
        if run_id not in keep
        and run.info.lifecycle_stage == "active"
        # A run without an end was cut off.
        and (run.info.end_time or run.info.start_time) < oldest
    }
    active = [one.experiment_id for one in experiments if one.lifecycle_stage == "active"]
    for model in pages(client.search_logged_models, experiment_ids=active):
        if model.source_run_id in old and model.model_id not in kept_models:
            client.delete_logged_model(model.model_id)
    for run_id in sorted(old):
        client.delete_run(run_id)
    sys.stdout.write(f"cleanup: deleted {len(old)} of {len(runs)} runs\n")
    sys.stdout.flush()
    # From here rather than as a command, whose arguments, with the password, every user of the node can read.
    gc(["--backend-store-uri", STORE, "--older-than", f"{DELETED_KEEP_DAYS}d"])


if __name__ == "__main__":
    main()
