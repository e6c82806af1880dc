"""A whole server is down: the behavior of the others, and its recovery."""

import http.client
import time

import pytest

from cluster.support.commands import LabError, wait_for
from cluster.support.load import Load

pytestmark = pytest.mark.timeout(2400)
AWAY = {True: 300.0, False: 20.0}
"""Seconds that a server is away, in a drill and in every run."""


def wait_for_log(running, ids, seconds=300):
    try:
        wait_for(lambda: running.logged(ids) == len(ids), "the log", seconds, every=5)
    except LabError:
        pytest.fail(f"{len(ids) - running.logged(ids)} of {len(ids)} answered predictions are not in the log")


def outage(running, group, drill, meanwhile):
    """Cut a server's power, do something, bring it back; return the answers and the seconds to recover."""
    node = running.lab.nodes[group]
    with Load(running.client, threads=2, rate=20) as load:
        time.sleep(3)
        node.down(keep=True, hard=True)
        began = time.monotonic()
        try:
            meanwhile()
            time.sleep(max(0.0, AWAY[drill] - (time.monotonic() - began)))
        finally:
            node.up()
        back = time.monotonic()
        running.clusters[group].settle()
        recovered = time.monotonic() - back
        time.sleep(3)
    answers = load.answers
    running.figures.add(
        "One server away",
        f"{group} away for {back - began:.0f} s: predictions meanwhile",
        answers.summary,
    )
    running.figures.add("One server away", f"{group}: all pods ready after its return", f"{recovered:.0f} s")
    return answers


def replace_every_pod(running):
    """Delete every pod of server 3, and wait until the API answers from new ones."""
    before = {pod["metadata"]["uid"] for pod in running.serving.pods("api")}
    for pod in running.serving.pods("api"):
        running.serving.kubectl("delete", "pod", pod["metadata"]["name"], "--wait=true")
        wait_for(
            lambda: len(running.serving.pods("api", ready=True)) >= len(before),
            "a new pod of the API", 180, every=1,
        )  # fmt: skip
    running.serving.kubectl("delete", "pods", "-l", "app.kubernetes.io/name notin (api,edge)", "--wait=false")
    assert not before & {pod["metadata"]["uid"] for pod in running.serving.pods("api")}


@pytest.mark.parametrize("group", ["tracking", "data"])
def test_predictions_go_on_while_a_server_is_away_and_every_pod_is_replaced(lab_only, drill, group):
    running = lab_only
    running.settle()
    answers = outage(running, group, drill, lambda: replace_every_pod(running))
    assert not answers.failed, (answers.failed, answers.first)
    running.settle()
    wait_for_log(running, answers.ids)


def test_all_pods_of_the_api_are_deleted_at_once_while_server_2_is_away(lab_only):
    """The checked copy of the model outlives the pods: they come back without the registry."""
    running = lab_only
    running.settle()
    node = running.lab.nodes["tracking"]
    node.down(keep=True, hard=True)
    try:
        running.serving.kubectl("delete", "pods", "-l", "app.kubernetes.io/name=api", "--wait=true")
        began = time.monotonic()
        wait_for(lambda: answered(running), "a prediction from a new pod", 180, every=1)
        seconds = time.monotonic() - began
    finally:
        node.up()
    running.figures.add(
        "One server away", "first prediction of new API pods without server 2", f"{seconds:.0f} s"
    )
    running.settle()


def answered(running):
    try:
        return running.client.predict()
    except (OSError, http.client.HTTPException):
        return None


def test_server_3_comes_back_by_itself(lab_only, drill):
    running = lab_only
    running.settle()
    node = running.lab.nodes["serving"]
    node.down(keep=True, hard=True)
    time.sleep(AWAY[drill] if drill else 2)
    began = time.monotonic()
    node.up()
    wait_for(lambda: answered(running), "a prediction after the return", 300, every=1)
    seconds = time.monotonic() - began
    running.figures.add("One server away", "serving: first prediction after its return", f"{seconds:.0f} s")
    running.settle()
