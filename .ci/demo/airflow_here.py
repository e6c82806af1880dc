"""Airflow on this machine: its settings, its processes, and its REST API as the demo uses it."""

import secrets
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import tenacity

from processes import Processes, answers

DAGS = ("load_raw_data", "preprocess_incremental", "train_and_register")


def settings(home: Path, dags: Path, port: int) -> dict[str, str]:
    """Return Airflow's environment: SQLite metadata, loopback only, two tasks at a time."""
    url = f"http://127.0.0.1:{port}"
    home.mkdir(exist_ok=True)
    return {
        "AIRFLOW_HOME": str(home),
        # Several processes write to it: each waits for its turn instead of failing.
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}?timeout=60",
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PARALLELISM": "2",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        # Whoever reaches the loopback address is an administrator; the VMs have a login.
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__API__SECRET_KEY": _kept_secret(home / "secret_key"),
        "AIRFLOW__API_AUTH__JWT_SECRET": _kept_secret(home / "jwt_secret"),
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "OMP_NUM_THREADS": "1",
    }


def _kept_secret(path: Path) -> str:
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(32))
    return path.read_text()


def start(processes: Processes, airflow: Path, env: dict[str, str], port: int, cwd: Path) -> None:
    """Migrate the metadata and start the API server, the scheduler and the DAG processor."""
    processes.run("airflow-migrate", [airflow, "db", "migrate"], env, cwd)
    with closing(sqlite3.connect(Path(env["AIRFLOW_HOME"]) / "airflow.db")) as database:
        # The file remembers it: readers and the writer no longer wait for each other.
        database.execute("PRAGMA journal_mode = WAL")
    processes.start(
        "airflow-api-server",
        [airflow, "api-server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"],
        env,
        cwd,
    )
    processes.start("airflow-dag-processor", [airflow, "dag-processor"], env, cwd)
    processes.wait_until(
        lambda: answers(f"http://127.0.0.1:{port}/api/v2/monitor/health"), "Airflow's API server"
    )
    processes.start("airflow-scheduler", [airflow, "scheduler", "--skip-serve-logs"], env, cwd)


@dataclass(frozen=True)
class Api:
    """Airflow's REST API, as an administrator."""

    url: str

    # A busy machine answers late or not at all; each of these calls can be made again.
    @tenacity.retry(
        retry=tenacity.retry_if_exception_type(httpx.HTTPError),
        stop=tenacity.stop_after_attempt(6),
        wait=tenacity.wait_fixed(2),
        reraise=True,
    )
    def _call(
        self,
        method: str,
        path: str,
        params: dict[str, str] | None = None,
        json: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        token = httpx.get(f"{self.url}/auth/token", timeout=30).raise_for_status().json()["access_token"]
        reply = httpx.request(
            method,
            f"{self.url}/api/v2/{path}",
            headers={"Authorization": f"Bearer {token}"},
            timeout=30,
            params=params,
            json=json,
        )
        return dict(reply.raise_for_status().json())

    def parsed(self, dags: Iterable[str]) -> bool:
        """Tell whether the DAG processor has read all of `dags`."""
        known = {dag["dag_id"] for dag in self._call("GET", "dags")["dags"]}
        return set(dags) <= known

    def import_errors(self) -> list[str]:
        """Return the files that could not be read as DAGs."""
        return [error["filename"] for error in self._call("GET", "importErrors")["import_errors"]]

    def unpause(self, dag: str) -> None:
        """Let the scheduler run `dag`."""
        self._call("PATCH", f"dags/{dag}", params={"update_mask": "is_paused"}, json={"is_paused": False})

    def trigger(self, dag: str) -> None:
        """Ask for one run of `dag` now."""
        self._call("POST", f"dags/{dag}/dagRuns", json={"logical_date": None})

    def runs(self, dag: str) -> list[dict[str, Any]]:
        """Return the runs of `dag`, the newest first."""
        return list(self._call("GET", f"dags/{dag}/dagRuns", params={"order_by": "-id"})["dag_runs"])

    def tasks(self, dag: str, run_id: str) -> list[dict[str, Any]]:
        """Return the task instances of one run."""
        path = f"dags/{dag}/dagRuns/{run_id}/taskInstances"
        return list(self._call("GET", path)["task_instances"])
