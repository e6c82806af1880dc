"""The receivers of alerts, and the inhibition of consequential alerts, with the real Alertmanager."""

import json
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from server3.observability.support import files, programs

CONFIG = programs.OBSERVABILITY / "alertmanager" / "alertmanager.yml"


def amtool(*arguments):
    ran = subprocess.run([programs.find("amtool"), *arguments], check=False, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_the_config_is_valid():
    amtool("check-config", str(CONFIG))


@pytest.mark.parametrize("alert", files.all_alerts(), ids=lambda alert: alert["alert"])
def test_each_alert_reaches_someone(alert):
    labels = {"alertname": alert["alert"], **alert["labels"]}
    told = amtool(
        "config",
        "routes",
        "test",
        f"--config.file={CONFIG}",
        *(f"{key}={value}" for key, value in labels.items()),
    )
    person = {"critical": "on-call", "warning": "in-working-hours", "none": "in-working-hours"}[
        labels["severity"]
    ]
    expected = ["retrain", person] if labels.get("action") == "retrain" else [person]
    assert told.strip().split(",") == expected


def test_every_alert_that_an_inhibition_names_exists():
    names = {alert["alert"] for alert in files.all_alerts()}
    for rule in files.read_yaml(CONFIG)["inhibit_rules"]:
        [source] = rule["source_matchers"]
        assert source.removeprefix("alertname=").strip('"') in names


@pytest.fixture
def webhook():
    received = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self):
            received.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port, received
    server.shutdown()
    server.server_close()


@pytest.fixture
def alertmanager(tmp_path, webhook):
    text = CONFIG.read_text()
    assert text.count("127.0.0.1:8095") == 1
    assert text.count("group_wait: 30s") == 1
    text = text.replace("127.0.0.1:8095", f"127.0.0.1:{webhook[0]}").replace(
        "group_wait: 30s", "group_wait: 1s"
    )
    config = tmp_path / "alertmanager.yml"
    config.write_text(text)
    with programs.alertmanager(tmp_path / "alertmanager", config) as address:
        yield address


def test_drift_calls_for_a_training_and_one_cause_is_one_message(alertmanager, webhook):
    def post(*alerts):
        body = [{"labels": alert} for alert in alerts]
        httpx.post(f"http://{alertmanager}/api/v2/alerts", json=body).raise_for_status()

    def state():
        alerts = httpx.get(f"http://{alertmanager}/api/v2/alerts").json()
        return {
            (alert["labels"]["alertname"], alert["labels"].get("mountpoint")): alert["status"]["state"]
            for alert in alerts
        }

    post(
        {"alertname": "InputDrift", "severity": "warning", "action": "retrain", "field": "age"},
        {"alertname": "InputDrift", "severity": "warning", "action": "retrain", "field": "race"},
        {"alertname": "ApiDown", "severity": "critical", "instance": "vm3:8000"},
        {"alertname": "PredictionFailuresBurnSlow", "severity": "warning"},
        {"alertname": "DiskFullSoon", "severity": "critical", "instance": "vm1", "mountpoint": "/data"},
        {"alertname": "DiskNearlyFull", "severity": "warning", "instance": "vm1", "mountpoint": "/data"},
        {"alertname": "DiskNearlyFull", "severity": "warning", "instance": "vm1", "mountpoint": "/"},
    )
    _, received = webhook
    programs.wait_until(lambda: received, "the webhook was called")
    # Two fields drifted: one message, so one training.
    assert len(received) == 1
    assert {alert["labels"]["field"] for alert in received[0]["alerts"]} == {"age", "race"}
    assert received[0]["groupLabels"] == {"action": "retrain"}
    programs.wait_until(lambda: "unprocessed" not in state().values(), "every alert has been looked at")
    assert state() == {
        ("InputDrift", None): "active",
        ("ApiDown", None): "active",
        ("PredictionFailuresBurnSlow", None): "suppressed",
        ("DiskFullSoon", "/data"): "active",
        ("DiskNearlyFull", "/data"): "suppressed",
        ("DiskNearlyFull", "/"): "active",
    }
