"""The webhook in its own process, and messages like Alertmanager's."""

import os
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx

from server3.retrain.support.airflow import CHECKOUT, PASSWORD, USER, free_port


def delivery(*alerts: dict[str, Any]) -> dict[str, Any]:
    """Return the body of a delivery in the format of Alertmanager 0.25; `labels` describe the alerts."""
    return {
        "receiver": "retrain",
        "status": "firing",
        "alerts": [
            {
                "status": labels.pop("status", "firing"),
                "labels": labels,
                "annotations": {"summary": "…", "runbook": "docs/runbooks/InputDrift.md"},
                "startsAt": "2026-03-01T08:00:00.123Z",
                "endsAt": "0001-01-01T00:00:00Z",
                "generatorURL": "http://127.0.0.1:9090/graph",
                "fingerprint": "c0ffee",
            }
            for labels in (dict(alert) for alert in alerts)
        ],
        "groupLabels": {"action": "retrain"},
        "commonLabels": {"action": "retrain"},
        "commonAnnotations": {},
        "externalURL": "http://127.0.0.1:9093",
        "version": "4",
        "groupKey": '{}/{action="retrain"}:{action="retrain"}',
        "truncatedAlerts": 0,
    }


def drift(field: str = "age", **labels: str) -> dict[str, str]:
    return {"alertname": "InputDrift", "severity": "warning", "action": "retrain", "field": field, **labels}


class Webhook:
    """`python -m readmission_retrain` with its own state file."""

    def __init__(self, folder: Path, airflow_url: str) -> None:
        self.folder = folder
        self._airflow_url = airflow_url
        self.process: subprocess.Popen[bytes] | None = None
        self.http = httpx.Client(timeout=300)

    def start(self) -> None:
        port = free_port()
        with (self.folder / "retrain.log").open("ab") as log:
            self.process = subprocess.Popen(
                [CHECKOUT / ".venvs/retrain/bin/python", "-m", "readmission_retrain"],
                env={
                    **os.environ,
                    "READMISSION_RETRAIN_PORT": str(port),
                    "READMISSION_RETRAIN_AIRFLOW_URL": self._airflow_url,
                    "READMISSION_RETRAIN_AIRFLOW_USER": USER,
                    "READMISSION_RETRAIN_AIRFLOW_PASSWORD": PASSWORD,
                    "READMISSION_RETRAIN_AIRFLOW_TIMEOUT_SECONDS": "120",
                    "READMISSION_RETRAIN_STATE": str(self.folder / "retrain.json"),
                },
                stdout=log,
                stderr=log,
            )
        self.http.base_url = httpx.URL(f"http://127.0.0.1:{port}")
        end = time.monotonic() + 60
        while True:
            try:
                self.http.get("/health/live").raise_for_status()
            except httpx.TransportError:
                assert time.monotonic() < end, self.log()
                time.sleep(0.05)
            else:
                return

    def log(self) -> str:
        return (self.folder / "retrain.log").read_text()

    def kill(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()

    def send(self, *alerts: dict[str, str]) -> tuple[int, str]:
        answer = self.http.post("/alerts", json=delivery(*alerts))
        return answer.status_code, answer.json()["result"]
