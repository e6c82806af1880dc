"""An alert starts one training, and an alert that comes again starts none: against a real Airflow."""

import json
import os
import signal
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from server3.retrain.support.airflow import CHECKOUT
from server3.retrain.support.webhook import Webhook, delivery, drift


def counted(client, name):
    """The samples of a counter that are not zero, by their label."""
    return {
        line.split('"')[1]: float(line.rpartition(" ")[2])
        for line in client.get("/metrics").text.splitlines()
        if line.startswith(f"{name}_total{{") and not line.endswith(" 0.0")
    }


def test_an_alert_starts_a_run_that_says_why(webhook, airflow):
    webhook.start()
    score_shift = {"alertname": "ScoreShift", "severity": "warning", "action": "retrain"}
    resolved = drift("payer_code", status="resolved")
    told = webhook.send(drift("race"), drift("age"), score_shift, resolved, {"alertname": "DiskNearlyFull"})
    assert told == (200, "started")

    [run] = airflow.runs()
    assert run["state"] == "queued"
    assert run["run_type"] == "manual"
    assert run["note"] == "Started by InputDrift (age), InputDrift (race), ScoreShift."
    assert [alert["alertname"] for alert in run["conf"]["alerts"]] == [
        "InputDrift",
        "InputDrift",
        "ScoreShift",
    ]
    assert run["conf"]["alerts"][0] == {
        "alertname": "InputDrift", "field": "race", "since": "2026-03-01T08:00:00.123000+00:00",
    }  # fmt: skip

    assert webhook.send(drift("age")) == (200, "cooldown")
    assert len(airflow.runs()) == 1
    assert counted(webhook.http, "retrain_deliveries") == {"started": 1, "cooldown": 1}
    assert counted(webhook.http, "retrain_alerts") == {"yes": 4, "no": 2}


@pytest.mark.parametrize(
    "alert",
    [drift(status="resolved"), {"alertname": "ApiDown", "severity": "critical"}, drift(action="page")],
    ids=["resolved", "without the label", "another action"],
)
def test_what_does_not_ask_for_a_training_starts_none(timed, airflow, alert):
    client = timed()
    assert client.post("/alerts", json=delivery(alert)).json()["result"] == "ignored"
    assert airflow.runs() == []


def test_what_is_no_delivery_is_refused_without_its_values(timed, airflow):
    client = timed()
    body = delivery(drift()) | {"alerts": [{"status": "firing", "labels": "patient 4711"}]}
    answer = client.post("/alerts", json=body)
    assert answer.status_code == 422
    assert "4711" not in answer.text
    assert airflow.runs() == []


def test_two_processes_that_are_told_at_once_start_one_run(webhook, airflow, tmp_path):
    second = Webhook(tmp_path, airflow.url)
    webhook.start()
    second.start()
    try:
        with ThreadPoolExecutor(8) as pool:
            told = list(pool.map(lambda n: (webhook, second)[n % 2].send(drift()), range(8)))
    finally:
        second.kill()
    assert sorted(told) == [(200, "cooldown")] * 7 + [(200, "started")]
    assert len(airflow.runs()) == 1


def test_a_restart_forgets_neither_the_run_nor_the_cool_down(webhook, airflow):
    webhook.start()
    assert webhook.send(drift()) == (200, "started")
    [run] = airflow.runs()
    airflow.end(run["dag_run_id"])
    webhook.kill()
    webhook.start()
    assert webhook.send(drift()) == (200, "cooldown")
    assert len(airflow.runs()) == 1
    started = next(
        line for line in webhook.http.get("/metrics").text.splitlines() if line.startswith("retrain_last")
    )
    assert float(started.split()[1]) > 0


def test_after_the_cool_down_an_alert_starts_the_next_run(timed, airflow, clock):
    def send():
        return timed(cooldown_seconds=3600).post("/alerts", json=delivery(drift())).json()["result"]

    assert send() == "started"
    [first] = airflow.runs()
    clock.move(minutes=59)
    assert send() == "cooldown"
    clock.move(minutes=1)
    # The cool-down is over, but the run is not.
    assert send() == "running"
    airflow.end(first["dag_run_id"])
    assert send() == "started"
    assert len(airflow.runs()) == 2


def test_a_run_that_someone_else_started_is_enough(timed, airflow):
    airflow.trigger()
    client = timed()
    assert client.post("/alerts", json=delivery(drift())).json()["result"] == "running"
    assert len(airflow.runs()) == 1


@pytest.mark.parametrize(
    ("settings", "result"),
    [
        ({"airflow_url": "http://127.0.0.1:9"}, "airflow_away"),
        ({"airflow_password": "wrong"}, "airflow_refused"),
        ({"airflow_user": None}, "airflow_refused"),
        ({"dag": "train"}, "airflow_refused"),
    ],
    ids=["Airflow is away", "wrong password", "no login", "no such DAG"],
)
def test_what_could_not_be_started_is_asked_for_again(timed, airflow, settings, result):
    client = timed(**settings)
    answer = client.post("/alerts", json=delivery(drift()))
    assert (answer.status_code, answer.json()["result"]) == (503, result)
    assert "wrong" not in answer.text
    assert counted(client, "retrain_deliveries") == {result: 1}
    # After the fix, the run can start.
    assert timed().post("/alerts", json=delivery(drift())).json()["result"] == "started"
    assert len(airflow.runs()) == 1


def test_a_paused_dag_is_not_given_a_run_that_would_only_wait(timed, airflow):
    airflow.pause(paused=True)
    client = timed()
    answer = client.post("/alerts", json=delivery(drift()))
    assert (answer.status_code, answer.json()["result"]) == (503, "dag_paused")
    assert airflow.runs() == []


def test_a_broken_state_starts_nothing_and_says_so(timed, airflow, tmp_path):
    (tmp_path / "retrain.json").write_text('{"run_id": ')
    answer = timed().post("/alerts", json=delivery(drift()))
    assert (answer.status_code, answer.json()["result"]) == (503, "state_broken")
    assert "move it away" in answer.json()["message"]
    assert airflow.runs() == []


@pytest.fixture
def between(airflow):
    """A proxy that kills the webhook as it asks for a run: before Airflow hears of it, or after."""

    class Proxy(BaseHTTPRequestHandler):
        victim, moment = None, None

        def do_GET(self):
            self.forward()

        def do_POST(self):
            if self.path.endswith("/dagRuns") and Proxy.moment:
                moment, Proxy.moment = Proxy.moment, None
                if moment == "after":
                    self.passed_on()
                os.kill(Proxy.victim, signal.SIGKILL)
                return
            self.forward()

        def passed_on(self):
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {
                name: value
                for name, value in self.headers.items()
                if name.lower() in {"authorization", "content-type"}
            }
            url = f"{airflow.url}{self.path}"
            return httpx.request(self.command, url, content=body, headers=headers, timeout=120)

        def forward(self):
            answer = self.passed_on()
            self.send_response(answer.status_code)
            self.send_header("content-length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", Proxy
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(("moment", "then"), [("before", "started"), ("after", "cooldown")])
def test_killed_half_way_it_starts_the_run_once_all_the_same(between, airflow, tmp_path, moment, then):
    url, proxy = between
    webhook = Webhook(tmp_path, url)
    try:
        webhook.start()
        proxy.victim, proxy.moment = webhook.process.pid, moment
        with pytest.raises(httpx.TransportError):
            webhook.send(drift())
        webhook.process.wait(timeout=30)
        assert json.loads((tmp_path / "retrain.json").read_text())["known"] is False
        assert len(airflow.runs()) == (moment == "after")

        webhook.start()
        assert webhook.send(drift()) == (200, then)
        assert webhook.send(drift()) == (200, "cooldown")
    finally:
        webhook.kill()
    [run] = airflow.runs()
    assert run["dag_run_id"] == json.loads((tmp_path / "retrain.json").read_text())["run_id"]


def test_a_wrong_setting_is_named_in_one_line_without_its_value():
    ran = subprocess.run(
        [CHECKOUT / ".venvs/retrain/bin/python", "-m", "readmission_retrain"],
        env={**os.environ, "READMISSION_RETRAIN_COOLDOWN_SECONDS": "six hours"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 2
    assert ran.stderr.startswith("READMISSION_RETRAIN_COOLDOWN_SECONDS: ")
    assert "six hours" not in ran.stderr
    assert len(ran.stderr.splitlines()) == 1
