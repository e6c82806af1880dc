"""A worker joins a running cluster and leaves it: pods spread, logs and metrics arrive, no request fails."""

import time

import pytest

from cluster.support import pulled
from cluster.support.commands import wait_for
from cluster.support.load import Load

pytestmark = pytest.mark.timeout(1800)
WORKER = "serving-2"


def nodes_of(cluster, app):
    return {pod["spec"]["nodeName"] for pod in cluster.pods(app, ready=True)}


def test_pods_move_to_a_worker_and_back_without_a_failed_request(lab_only):
    running = lab_only
    running.settle()
    cluster, lab = running.serving, running.lab
    worker = lab.workers[WORKER]
    with Load(running.client, threads=2, rate=40) as load:
        joined = lab.up([WORKER])[WORKER]
        pulled.load(worker, running.images)
        running.write_inventory(workers=True)
        running.site.play("site")
        cluster.kubectl("rollout", "restart", "deployment/api")
        cluster.kubectl("rollout", "status", "deployment/api", "--timeout=300s")
        wait_for(lambda: WORKER in nodes_of(cluster, "api"), "a pod of the API on the worker", 60)
        # From here on the requests of the pods on the worker count as well.
        here = len(load.answers.ids)
        cluster.kubectl("cordon", "serving")
        cluster.kubectl("rollout", "restart", "deployment/api")
        cluster.kubectl("rollout", "status", "deployment/api", "--timeout=300s")
        assert nodes_of(cluster, "api") == {WORKER}
        wait_for(lambda: len(load.answers.ids) > here + 100, "predictions on the worker", 60)
        targets = running.prometheus.targets()
        assert any(worker.address in name for name in targets), targets
        cluster.kubectl("uncordon", "serving")
        began = time.monotonic()
        cluster.kubectl("drain", WORKER, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=300s")
        drained = time.monotonic() - began
        wait_for(lambda: nodes_of(cluster, "api") == {"serving"}, "the API back on its server", 180)
    answers = load.answers
    running.figures.add("Workers", "a worker joins", f"{joined:.0f} s")
    running.figures.add("Workers", "it is drained under load", f"{drained:.0f} s")
    running.figures.add("Workers", "requests meanwhile", answers.summary)
    cluster.kubectl("delete", "node", WORKER)
    worker.down(keep=False)
    running.write_inventory()
    running.site.play("site")
    assert not answers.failed, (answers.failed, answers.first)
    wait_for(lambda: running.logged(answers.ids) == len(answers.ids), "every prediction's row", 180, every=3)
