"""Clients for the web services of a site, as users reach them: over TLS, at their node ports."""

import http.server
import threading
from functools import partial
from pathlib import Path
from typing import Any

import requests

from cluster.support.layout import GATEWAY

AIRFLOW, PROMETHEUS, MLFLOW = 30080, 30090, 30003


class Airflow:
    """Airflow's API on server 1."""

    def __init__(self, address: str, authority: Path, password: str) -> None:
        self.base = f"https://{address}:{AIRFLOW}"
        self.session = requests.Session()
        self.session.verify = str(authority)
        # A machine's own CA bundle, in the environment, would come first.
        self.session.trust_env = False
        self._login = {"username": "admin", "password": password}

    def ask(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        """Send a request to the API; log in again if the token has expired."""
        answer = self.session.request(method, f"{self.base}/api/v2/{path}", timeout=60, **options)
        if answer.status_code == requests.codes.unauthorized:
            token = self.session.post(f"{self.base}/auth/token", json=self._login, timeout=60)
            token.raise_for_status()
            self.session.headers["Authorization"] = f"Bearer {token.json()['access_token']}"
            answer = self.session.request(method, f"{self.base}/api/v2/{path}", timeout=60, **options)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json() if answer.content else {}
        return found

    def runs(self, dag: str = "~") -> list[dict[str, Any]]:
        """Return the runs of a DAG, or of all, the latest first."""
        found = self.ask("GET", f"dags/{dag}/dagRuns?order_by=-run_after&limit=100")
        runs: list[dict[str, Any]] = found["dag_runs"]
        return runs

    def start(self, dag: str) -> str:
        """Start a run; return its id."""
        found: str = self.ask("POST", f"dags/{dag}/dagRuns", json={"logical_date": None})["dag_run_id"]
        return found

    def state(self, dag: str, run: str) -> str:
        """Return the state of a run."""
        found: str = self.ask("GET", f"dags/{dag}/dagRuns/{run}")["state"]
        return found


class Prometheus:
    """Prometheus on server 3."""

    def __init__(self, address: str, authority: Path, password: str) -> None:
        self.base = f"https://{address}:{PROMETHEUS}"
        self.authority = str(authority)
        self._login = ("operator", password)

    def ask(self, path: str, **parameters: str) -> dict[str, Any]:
        """Return the data of an API's answer."""
        answer = requests.get(
            f"{self.base}/api/v1/{path}",
            params=parameters,
            verify=self.authority,
            auth=self._login,
            timeout=30,
        )
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()["data"]
        return found

    def targets(self) -> dict[str, str]:
        """Return the health of each target by job and address."""
        found = {}
        for one in self.ask("targets", state="active")["activeTargets"]:
            name = f"{one['labels']['job']} {one['labels']['instance']}"
            found[name] = f"{one['health']} {one['lastError']}".strip()
        return found

    def value(self, query: str) -> float | None:
        """Return the value of a query's only series; None if it has none."""
        result = self.ask("query", query=query)["result"]
        return float(result[0]["value"][1]) if result else None


class Files:
    """Serves a folder on the lab's bridge, as an address of the internet would: the data set's."""

    def __init__(self, folder: Path) -> None:
        handler = partial(_Quiet, directory=str(folder))
        self.server = http.server.ThreadingHTTPServer((GATEWAY, 80), handler)
        self._thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop serving."""
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        """Log nothing."""
