"""New pods and new releases while predictions continue: no request may fail."""

import time

import pytest

from cluster.support.commands import run
from cluster.support.layout import CHECKOUT, REGISTRY
from cluster.support.load import Load

pytestmark = pytest.mark.timeout(1800)
REQUESTS = {True: 20_000, False: 2_000}


def test_a_rolling_update_loses_no_request(running, drill):
    running.serving.settle()
    began = time.monotonic()
    with Load(running.client, threads=4) as load:
        rollouts = 0
        while rollouts == 0 or load.answers.total < REQUESTS[drill]:
            running.serving.kubectl("rollout", "restart", "deployment/api")
            running.serving.kubectl("rollout", "status", "deployment/api", "--timeout=300s")
            rollouts += 1
        time.sleep(5)
    answers = load.answers
    running.figures.add(
        "Rolling updates",
        f"{rollouts} rolling updates of the API under load",
        f"{answers.summary}, {time.monotonic() - began:.0f} s",
    )
    assert not answers.failed, (answers.failed, answers.first)
    assert answers.total >= REQUESTS[drill]


def test_all_answered_predictions_are_in_the_log(running):
    with Load(running.client, threads=2) as load:
        running.serving.kubectl("rollout", "restart", "deployment/api")
        running.serving.kubectl("rollout", "status", "deployment/api", "--timeout=300s")
    ids = load.answers.ids
    deadline = time.monotonic() + 120
    while (found := running.logged(ids)) < len(ids) and time.monotonic() < deadline:
        time.sleep(2)
    assert found == len(ids), f"{len(ids) - found} of {len(ids)} answered predictions are not in the log"
    [[doubles]] = running.data.sql(
        "SELECT COUNT(*) - COUNT(DISTINCT request_id) FROM PredictionLog.predictions"
    )
    assert doubles == "0"


def test_a_new_release_of_everything_loses_no_request(lab_only, drill):
    """The next commit: other image names on every pod of the project, pulled from the registry."""
    if not drill:
        pytest.skip("a drill: every pod of the platform is replaced")
    running = lab_only
    tree = run("git", "rev-parse", f"{running.site.release}^{{tree}}", cwd=CHECKOUT)
    author = ["-c", "user.name=tests", "-c", "user.email=tests@localhost"]
    commit = run(
        "git", *author, "commit-tree", tree, "-p", running.site.release, "-m", "A release", cwd=CHECKOUT
    )
    before, running.site.release = running.site.release, commit
    for name in running.docker.run(
        "images", "--format", "{{.Repository}}", f"{REGISTRY}/readmission/*"
    ).split():
        running.docker.run("tag", f"{name}:{before[:12]}", f"{name}:{commit[:12]}")
        running.docker.run("push", "--quiet", f"{name}:{commit[:12]}")
    with Load(running.client, threads=4) as load:
        play = running.site.play("site")
    answers = load.answers
    running.figures.add(
        "Rolling updates",
        "a new release of everything under load",
        f"{answers.summary}, {play.seconds:.0f} s",
    )
    assert not answers.failed, (answers.failed, answers.first)
