"""Serves `/health` of Airflow's triggerer and DAG processor, for which Airflow has no health server.

If `READMISSION_HEALTH_PORT` is set, a thread of the process itself answers 200 while the heartbeat is recent,
and 503 otherwise. `airflow jobs check` answers the same question, but starts a Python process, which takes so
long on a busy node that the probe times out and the kubelet kills a healthy process.
"""

import os
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from airflow.jobs.job import Job
from airflow.listeners import hookimpl
from airflow.plugins_manager import AirflowPlugin


@hookimpl
def on_starting(component: object) -> None:
    """Start the health server, unless a task or a process without the setting starts."""
    port = os.environ.get("READMISSION_HEALTH_PORT")
    if port and isinstance(component, Job):
        Thread(target=health_server(component, int(port)).serve_forever, daemon=True).start()


def health_server(job: Job, port: int) -> ThreadingHTTPServer:
    """Return a server that answers for `job`, bound to `port` of all addresses (0: any free port)."""

    class Health(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path != "/health":
                self.send_error(HTTPStatus.NOT_FOUND)
            elif job.is_alive():
                self.send_response(HTTPStatus.OK)
                self.end_headers()
            else:
                self.send_error(HTTPStatus.SERVICE_UNAVAILABLE, "The last heartbeat is too old")

        def log_message(self, *_: object) -> None:
            """Log nothing, because the kubelet sends a request every few seconds."""

    return ThreadingHTTPServer(("0.0.0.0", port), Health)  # noqa: S104 - a network policy denies all other clients


class ComponentHealth(AirflowPlugin):
    """Registers the listener."""

    name = "component_health"
    listeners = [sys.modules[__name__]]  # noqa: RUF012 - Airflow's own declaration
