"""A real Airflow on SQLite, with the project's DAGs and a login."""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Self

import httpx

CHECKOUT = Path(__file__).parents[4]
AIRFLOW = CHECKOUT / ".venvs" / "data" / "bin" / "airflow"
DAG = "train_and_register"
USER, PASSWORD = "retrain", "let-me-in"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Airflow:
    """`retrain` is a user, as on the VMs; the tests themselves are `operator`, an administrator.

    Without `works`, queued runs do not start. With it, every DAG is paused at first, and its tasks have
    `environment`.
    """

    def __init__(self, folder: Path, *, works: bool = False, **environment: str) -> None:
        self._works = works
        folder.mkdir(parents=True)
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._port = port
        self._log = folder / "airflow.log"
        passwords = folder / "passwords.json"
        passwords.write_text(json.dumps({USER: PASSWORD, "operator": "operator"}))
        self._environment = {
            **os.environ,
            "AIRFLOW_HOME": str(folder),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{folder / 'airflow.db'}?timeout=60",
            "AIRFLOW__CORE__DAGS_FOLDER": str(CHECKOUT / "server1-data" / "dags"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": str(works),
            "AIRFLOW__CORE__PARALLELISM": "2",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:user,operator:admin",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
            "AIRFLOW__API_AUTH__JWT_SECRET": "a secret of the tests, long enough for a hash " * 2,
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            **environment,
        }
        self._database = folder / "airflow.db"
        self._processes: list[subprocess.Popen[bytes]] = []
        # A connection that was idle may be closed by the server as it is used.
        limits = httpx.Limits(max_keepalive_connections=0)
        self._http = httpx.Client(base_url=self.url, timeout=120, limits=limits)

    def _run(self, *arguments: str) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [AIRFLOW, *arguments], env=self._environment, stdout=log, stderr=log, start_new_session=True
            )

    def start(self) -> Self:
        assert self._run("db", "migrate").wait(timeout=600) == 0, self.log()
        with closing(sqlite3.connect(self._database)) as database:
            database.execute("PRAGMA journal_mode = WAL")
        host = ("--host", "127.0.0.1", "--port", str(self._port), "--workers", "1")
        self._processes.append(self._run("api-server", *host))
        if self._works:
            self._processes.append(self._run("dag-processor"))
        else:
            assert self._run("dags", "reserialize").wait(timeout=600) == 0, self.log()
        self._wait_for(self._answers)
        if self._works:
            self._processes.append(self._run("scheduler", "--skip-serve-logs"))
        login = {"username": "operator", "password": "operator"}
        token = self._http.post("/auth/token", json=login).raise_for_status().json()["access_token"]
        self._http.headers["Authorization"] = f"Bearer {token}"
        self._wait_for(self._knows_the_dag)
        return self

    def _wait_for(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + 600
        while not condition():
            assert time.monotonic() < end, self.log()
            time.sleep(0.2)

    def log(self) -> str:
        return self._log.read_text()[-5000:]

    def _knows_the_dag(self) -> bool:
        return self._http.get(f"/api/v2/dags/{DAG}").is_success

    def _answers(self) -> bool:
        try:
            return self._http.get("/api/v2/version").is_success
        except httpx.TransportError:
            return False

    def stop(self) -> None:
        self._http.close()
        # The last started first: the scheduler's tasks still report to the API server.
        for process in reversed(self._processes):
            os.killpg(process.pid, signal.SIGTERM)
        for process in self._processes:
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def _call(self, method: str, path: str, **request: Any) -> httpx.Response:
        return self._http.request(method, f"/api/v2/dags/{DAG}{path}", **request).raise_for_status()

    def runs(self) -> list[dict[str, Any]]:
        return self._call("GET", "/dagRuns").json()["dag_runs"]

    def trigger(self) -> None:
        self._call("POST", "/dagRuns", json={"logical_date": None})

    def end(self, run_id: str) -> None:
        """Mark a run as finished, as if it had run."""
        self._call("PATCH", f"/dagRuns/{run_id}", json={"state": "success"})

    def pause(self, *, paused: bool) -> None:
        self._call("PATCH", "", params={"update_mask": "is_paused"}, json={"is_paused": paused})

    def forget(self) -> None:
        for run in self.runs():
            self._call("DELETE", f"/dagRuns/{run['dag_run_id']}")
        self.pause(paused=False)
