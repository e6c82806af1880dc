"""Airflow on this machine: its settings, its processes, and the demo's requests."""

import secrets
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import tenacity

from readmission_demo.processes import Processes
from readmission_retrain.airflow import Airflow, field
from readmission_retrain.errors import AirflowAwayError

DAGS: Final = ("load_raw_data", "preprocess_incremental", "train_and_register")
RUNS_SHOWN: Final = 50
"""The number of newest runs that the demo requests."""


def settings(home: Path, dags: Path, port: int) -> dict[str, str]:
    """Return Airflow's environment: SQLite metadata, loopback only, two tasks at a time."""
    url = f"http://127.0.0.1:{port}"
    home.mkdir(exist_ok=True)
    return {
        "AIRFLOW_HOME": str(home),
        # Several processes write to it: each waits instead of failing.
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}?timeout=60",
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PARALLELISM": "2",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        # Everyone on this machine is an administrator. Deployed servers have logins.
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__API__SECRET_KEY": _kept_secret(home / "secret_key"),
        "AIRFLOW__API_AUTH__JWT_SECRET": _kept_secret(home / "jwt_secret"),
        # On a busy machine the API server may need more than five seconds to start a task.
        "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",
        # Reading the three files again takes seconds, and nobody edits them during the demo.
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "300",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "OMP_NUM_THREADS": "1",
    }


def _kept_secret(path: Path) -> str:
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(32))
    return path.read_text()


def start(processes: Processes, airflow: Path, env: dict[str, str], port: int, cwd: Path) -> None:
    """Migrate the metadata, then start the API server, the scheduler and the DAG processor."""
    processes.run("airflow-migrate", [airflow, "db", "migrate"], env, cwd)
    with closing(sqlite3.connect(Path(env["AIRFLOW_HOME"]) / "airflow.db")) as database:
        # The file keeps this mode: readers and the writer no longer wait for each other.
        database.execute("PRAGMA journal_mode = WAL")
    address = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    processes.start("airflow-api-server", [airflow, "api-server", *address], env, cwd)
    processes.start("airflow-dag-processor", [airflow, "dag-processor"], env, cwd)
    # It calls the API server only when the first task starts.
    processes.start("airflow-scheduler", [airflow, "scheduler", "--skip-serve-logs"], env, cwd)


class Pipeline:
    """The DAGs of server 1 in a running Airflow. Calls block, and are repeated while Airflow is busy."""

    def __init__(self, url: str) -> None:
        self._airflow = Airflow(url, timeout=30)

    # Every call of this class can be repeated without harm.
    @tenacity.retry(
        retry=tenacity.retry_if_exception_type(AirflowAwayError),
        stop=tenacity.stop_after_attempt(6),
        wait=tenacity.wait_fixed(2),
        reraise=True,
    )
    def _call(
        self,
        method: str,
        path: str,
        name: str,
        params: dict[str, Any] | None = None,
        json: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - JSON
        return field(self._airflow.call(method, path, params=params, json=json), name)

    def parsed(self) -> bool:
        """Return whether the API server responds and the DAG processor has read every DAG."""
        try:
            dags = field(self._airflow.call("GET", "dags"), "dags")
        except AirflowAwayError:
            return False
        return set(DAGS) <= {dag["dag_id"] for dag in dags}

    def import_errors(self) -> list[str]:
        """Return the files that Airflow could not import."""
        return [error["filename"] for error in self._call("GET", "importErrors", "import_errors")]

    def unpause(self, dag: str) -> None:
        """Unpause `dag`."""
        params = {"update_mask": "is_paused"}
        self._call("PATCH", f"dags/{dag}", "dag_id", params=params, json={"is_paused": False})

    def trigger(self, dag: str) -> None:
        """Start one run of `dag` now."""
        self._call("POST", f"dags/{dag}/dagRuns", "dag_run_id", json={"logical_date": None})

    def runs(self) -> list[dict[str, Any]]:
        """Return the newest runs of every DAG, the newest first."""
        params = {"order_by": "-id", "limit": RUNS_SHOWN}
        return list(self._call("GET", "dags/~/dagRuns", "dag_runs", params=params))

    def tasks(self, run: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the task instances of one run."""
        path = f"dags/{run['dag_id']}/dagRuns/{run['dag_run_id']}/taskInstances"
        return list(self._call("GET", path, "task_instances"))
