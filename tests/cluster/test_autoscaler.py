"""The API's HorizontalPodAutoscaler with real metrics: up under load, down after it."""

import json
import time

import pytest

from cluster.support.commands import wait_for
from cluster.support.load import Load

pytestmark = pytest.mark.timeout(1800)


def replicas(running):
    [found] = running.serving.get("deployment", "api")
    return found["status"].get("readyReplicas", 0)


def metric(running):
    [found] = running.serving.get("hpa", "api")
    return found["status"].get("currentMetrics")


def test_it_scales_up_under_load_and_down_after(lab_only, drill):
    running = lab_only
    running.serving.settle()
    wait_for(lambda: metric(running), "the autoscaler's metrics", 180, every=2)
    [before] = running.serving.get("hpa", "api")
    least = before["spec"]["minReplicas"]
    if not drill:
        # The manifest waits five minutes before it takes a pod away.
        behaviour = {"spec": {"behavior": {"scaleDown": {
            "stabilizationWindowSeconds": 15, "policies": [{"type": "Pods", "value": 4, "periodSeconds": 15}],
        }}}}  # fmt: skip
        running.serving.kubectl("patch", "hpa", "api", "--type=merge", "-p", json.dumps(behaviour))
    began = time.monotonic()
    try:
        with Load(running.client, threads=8) as load:
            wait_for(lambda: replicas(running) > least, "one more pod of the API", 300, every=1)
            up = time.monotonic() - began
        began = time.monotonic()
        wait_for(lambda: replicas(running) == least, "the autoscaler's way down", 900, every=2)
        down = time.monotonic() - began
    finally:
        if not drill:
            running.serving.kubectl(
                "patch", "hpa", "api", "--type=merge", "-p",
                json.dumps({"spec": {"behavior": before["spec"]["behavior"]}}),
            )  # fmt: skip
    answers = load.answers
    running.figures.add("Autoscaler", "one more pod is ready", f"{up:.0f} s after the load began")
    running.figures.add("Autoscaler", f"back at {least} pods", f"{down:.0f} s after the load ended")
    running.figures.add("Autoscaler", "requests meanwhile", answers.summary)
    assert not answers.failed, (answers.failed, answers.first)
