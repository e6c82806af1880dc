"""The running system: its probes, its targets, and the life of a model from a batch to the next training."""

import json
import re
import socket
import time
from pathlib import Path

import pytest
import requests

from cluster.support.commands import wait_for
from cluster.support.reach import Probe, answers

pytestmark = pytest.mark.timeout(1200)
KINDS = ("startupProbe", "livenessProbe", "readinessProbe")


def probes_of(pod):
    """Yield each probe of a pod with the name of its container."""
    for container in pod["spec"]["containers"]:
        ports = {one["name"]: one["containerPort"] for one in container.get("ports", []) if "name" in one}
        for kind in KINDS:
            if probe := container.get(kind):
                yield container["name"], kind, probe, ports


@pytest.mark.parametrize("group", ["data", "tracking", "serving"])
def test_every_probe_of_every_manifest_answers(lab_only, group):
    running = lab_only
    cluster = running.clusters[group]
    cluster.settle()
    asked, programs = {}, 0
    for pod in cluster.pods(ready=True):
        for container, kind, probe, ports in probes_of(pod):
            where = f"{pod['metadata']['name']}/{container} {kind}"
            if "exec" in probe:
                cluster.execute(
                    f"pod/{pod['metadata']['name']}", *probe["exec"]["command"], container=container
                )
                programs += 1
                continue
            known = probe.get("httpGet") or probe["tcpSocket"]
            port = ports.get(known["port"], known["port"])
            headers = {one["name"]: one["value"] for one in known.get("httpHeaders", [])}
            asked[where] = Probe(
                pod["status"]["podIP"], port, known.get("path"), headers, known.get("scheme", "HTTP")
            )
    said = answers(Path(f"/run/netns/{lab_only.lab.nodes[group].namespace}"), asked)
    wrong = {where: status for where, status in said.items() if not 200 <= status < 400}
    assert not wrong
    assert asked
    running.figures.add("The run", f"probes that answer on {group}", str(len(asked) + programs))


@pytest.mark.parametrize("group", ["data", "tracking", "serving"])
def test_no_process_has_more_rights_than_it_needs(lab_only, group):
    node = lab_only.lab.nodes[group]
    tasks = dict(line.split()[:2] for line in node.ctr("tasks", "ls").splitlines()[1:])
    seen = 0
    for pod in lab_only.clusters[group].pods(ready=True):
        for container in pod["status"]["containerStatuses"]:
            where = f"{pod['metadata']['name']}/{container['name']}"
            process = Path(f"/proc/{tasks[container['containerID'].removeprefix('containerd://')]}")
            status, mounts = (process / "status").read_text(), (process / "mounts").read_text()
            user = re.search(r"^Uid:\t(\d+)\t\1\t\1\t\1$", status, re.MULTILINE)
            assert user is not None, where
            assert int(user[1]) > 0, where
            for line in ("CapEff:\t0+$", "CapBnd:\t0+$", "NoNewPrivs:\t1$", "Seccomp:\t2$"):
                assert re.search(f"^{line}", status, re.MULTILINE), (where, line)
            root = re.search(r"^\S+ / \S+ (\S+)", mounts, re.MULTILINE)
            assert root is not None, where
            assert root[1].split(",")[0] == "ro", where
            seen += 1
    assert seen > 3


def test_every_workload_has_a_readiness_probe(running):
    for cluster in running.clusters.values():
        for one in cluster.get("deployments,statefulsets"):
            for container in one["spec"]["template"]["spec"]["containers"]:
                assert "readinessProbe" in container, (one["metadata"]["name"], container["name"])


def test_a_batch_was_loaded_and_a_model_is_in_production(running):
    [[batches, rows]] = running.data.sql(
        "SELECT COUNT(*), SUM(train_rows + validation_rows + test_rows) FROM RawData.batch_info"
    )
    assert int(batches) >= 1
    assert int(rows) > 1000
    aliases = running.tracking.sql("SELECT name, alias FROM mlflow.registered_model_aliases")
    assert ["best_diabetes_readmission_model", "production"] in aliases
    states = {(run["dag_id"], run["state"]) for run in running.airflow.runs()}
    for dag in ("load_raw_data", "preprocess_incremental", "train_and_register"):
        assert (dag, "success") in states


def test_a_prediction_over_tls_is_in_the_log_of_the_other_cluster(running):
    answer = running.client.predict()
    identity = answer["request_id"]
    query = f"SELECT probability FROM PredictionLog.predictions WHERE request_id = '{identity}'"
    found = wait_for(lambda: running.data.sql(query), "the prediction's row", 60)
    assert float(found[0][0]) == pytest.approx(answer["probability"], rel=1e-8)


def test_plain_http_is_no_way_in(running):
    with socket.create_connection((running.serving.address, 30080), timeout=10) as connection:
        connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: api\r\n\r\n")
        answer = connection.recv(1000)
    assert b" 308 " in answer.split(b"\r\n")[0]
    assert b"Location: https://" in answer


def test_all_targets_of_prometheus_are_up(running):
    def wrong():
        return {name: state for name, state in running.prometheus.targets().items() if state != "up"}

    wait_for(lambda: running.prometheus.targets() and not wrong(), f"all targets up, {wrong()}", 180, every=5)
    jobs = {name.split()[0] for name in running.prometheus.targets()}
    assert {"readmission-api", "mysql", "airflow", "mlflow", "node"} <= jobs
    # The exporter is up even if what it probes is not.
    failed = running.prometheus.ask("query", query="probe_success == 0")["result"]
    assert not failed, [one["metric"]["instance"] for one in failed]


def test_an_alert_starts_a_training(running):
    # The webhook starts none while one runs, and Alertmanager asks again only after minutes.
    wait_for(lambda: not is_training(running), "the end of the trainings", 600, every=5)
    before = {run["dag_run_id"] for run in running.airflow.runs("train_and_register")}
    alert = {
        "labels": {"alertname": "InputDrift", "action": "retrain", "severity": "warning", "field": "age"},
        "annotations": {"summary": "sent by the tests"},
    }
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    forward = running.serving.forward("statefulset/alertmanager", 9093, port)
    try:
        wait_for(lambda: can_connect(port), "the port forward", 30, every=0.2)
        sent = requests.post(f"http://127.0.0.1:{port}/api/v2/alerts", data=json.dumps([alert]), timeout=10,
                             headers={"content-type": "application/json"})  # fmt: skip
        sent.raise_for_status()
    finally:
        forward.terminate()
        forward.wait()
    began = time.monotonic()

    def started():
        # New tables start runs as well, by their asset.
        runs = running.airflow.runs("train_and_register")
        new = [run for run in runs if run["dag_run_id"] not in before]
        return [run for run in new if not run["dag_run_id"].startswith("asset_triggered")]

    [run, *_] = wait_for(started, "a run that the alert started", 420, every=2)
    running.figures.add("The run", "alert to a training's start", f"{time.monotonic() - began:.0f} s")
    assert "InputDrift" in json.dumps(run)
    wait_for(
        lambda: running.airflow.state("train_and_register", run["dag_run_id"]) == "success",
        "the training's success", 600, every=5,
    )  # fmt: skip


def is_training(running):
    runs = running.airflow.runs("train_and_register")
    return any(run["state"] in {"queued", "running"} for run in runs)


def can_connect(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
