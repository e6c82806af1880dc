"""Each part is killed in turn while predictions and trainings continue: nothing is lost or duplicated."""

import time

import pytest

from cluster.support.commands import LabError, wait_for
from cluster.support.load import Load

pytestmark = pytest.mark.timeout(1800)

# Group, application, and the seconds within which a new pod must be ready on two busy cores.
PARTS = (
    ("data", "mysql", 180),
    ("data", "airflow-api", 300),
    ("data", "airflow-scheduler", 300),
    ("data", "airflow-dag-processor", 300),
    ("data", "airflow-triggerer", 300),
    ("data", "edge", 120),
    ("tracking", "minio", 180),
    ("tracking", "mlflow", 300),
    ("tracking", "mysql", 180),
    ("tracking", "edge", 120),
)


def kill(cluster, app):
    """Delete an application's pods without a warning; return the seconds until a new one is ready."""
    before = {pod["metadata"]["uid"] for pod in cluster.pods(app)}
    began = time.monotonic()
    cluster.kubectl("delete", "pod", "-l", f"app.kubernetes.io/name={app}", "--grace-period=0", "--force")

    def replaced():
        ready = [pod for pod in cluster.pods(app, ready=True) if pod["metadata"]["uid"] not in before]
        return len(ready) >= len(before)

    limit = next(seconds for group, name, seconds in PARTS if (group, name) == (cluster.group, app))
    wait_for(replaced, f"{cluster.group}: {app} after its death", limit, every=0.5)
    return time.monotonic() - began


def test_predictions_and_a_training_survive_the_death_of_each_part(running):
    running.settle()
    dag = "train_and_register"
    run = running.airflow.start(dag)
    took = {}
    with Load(running.client, threads=2, rate=20) as load:
        for group, app, _ in PARTS:
            took[f"{app} on {group}"] = kill(running.clusters[group], app)
    answers = load.answers
    for what, seconds in took.items():
        running.figures.add("Killed pods", f"{what}: ready again after", f"{seconds:.0f} s")
    running.figures.add("Killed pods", "predictions meanwhile", answers.summary)
    assert not answers.failed, (answers.failed, answers.first)
    ended = wait_for(lambda: ended_state(running, dag, run), "the training's end", 900, every=5)
    assert ended == "success"
    running.settle()
    try:
        wait_for(lambda: running.logged(answers.ids) == len(answers.ids), "the log", 180, every=3)
    except LabError:
        lost = len(answers.ids) - running.logged(answers.ids)
        pytest.fail(f"{lost} of {len(answers.ids)} answered predictions are not in the log")
    [[doubles]] = running.data.sql(
        "SELECT COUNT(*) - COUNT(DISTINCT request_id) FROM PredictionLog.predictions"
    )
    assert doubles == "0"


def ended_state(running, dag, run):
    """Return the final state of a run; None while it is running or Airflow is unavailable."""
    try:
        state = running.airflow.state(dag, run)
    except OSError:
        return None
    return state if state in {"success", "failed"} else None
