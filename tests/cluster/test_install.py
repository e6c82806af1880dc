"""`site.yml` on three empty clusters: check mode, the first run, and a second one that changes nothing."""

import re
import time

import pytest

from cluster.support.commands import wait_for

pytestmark = pytest.mark.timeout(3600)


@pytest.fixture
def empty(clusters):
    """Clusters that have nothing before the first run."""
    if clusters.lab is None or clusters.attached:
        pytest.skip("these clusters had the platform before")
    return clusters


def test_a_check_before_the_first_run_succeeds_and_deploys_nothing(empty, check_before):
    assert "failed=0" in check_before.output
    for cluster in empty.clusters.values():
        assert not cluster.kubectl("get", "namespace", cluster.namespace, "--ignore-not-found")


def test_the_first_run_needs_no_hand_and_ends_with_a_prediction(empty, first_run):
    clusters = empty
    assert set(first_run.changed) >= {"server1-data", "server2-tracking", "server3-serving"}
    assert all(count > 0 for host, count in first_run.changed.items() if host != "localhost")
    # It printed a prediction of the model that it waited for.
    assert re.search(r"probability", first_run.output), first_run.output[-3000:]
    assert 0 < clusters.client.predict()["probability"] < 1


def test_a_slow_first_install_is_given_its_time(running):
    """The default of ten minutes is less than the play waits, and includes the wait for the set-up Jobs."""
    for cluster in running.clusters.values():
        for one in cluster.get("deployments"):
            assert one["spec"]["progressDeadlineSeconds"] >= 900, one["metadata"]["name"]


def test_every_pod_gets_ready(running):
    running.settle()
    for cluster in running.clusters.values():
        for pod in cluster.pods():
            assert pod["status"]["phase"] in {"Running", "Succeeded"}, pod["metadata"]["name"]


def test_a_second_run_changes_nothing(running):
    time.sleep(1)
    wait_for(lambda: not any(cluster.unready() for cluster in running.clusters.values()), "all pods", 300)
    play = running.site.play("site")
    running.figures.add("The run", "a second `site.yml`", f"{play.seconds:.0f} s, 0 changes")
    assert not any(play.changed.values()), play.output[-6000:]
