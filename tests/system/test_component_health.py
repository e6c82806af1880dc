"""The plugin's health server of Airflow's triggerer and DAG processor, in the real processes."""

import http.client
import os
import runpy
import socket
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest
from airflow.jobs.job import Job, JobState

PLUGINS = Path(__file__).parents[2] / "server1-data" / "plugins"


def status(port, path="/health"):
    """Return the status of a page, or None if nothing listens."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except ConnectionRefusedError:
        return None
    finally:
        connection.close()


@pytest.mark.usefixtures("airflow_metadata")
@pytest.mark.parametrize("command", [["triggerer", "--skip-serve-logs"], ["dag-processor"]])
def test_a_running_component_says_that_it_is_alive(command):
    with socket.socket() as probe:
        probe.bind(("", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [Path(sys.executable).with_name("airflow"), *command],
        env={
            **os.environ,
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(PLUGINS),
            "READMISSION_HEALTH_PORT": str(port),
        },
        stdout=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 180
        while (answer := status(port)) != 200 and time.monotonic() < deadline:
            assert process.poll() is None, f"airflow {command[0]} ended with {process.returncode}"
            time.sleep(0.5)
        assert answer == 200
        assert status(port, "/") == 404
    finally:
        process.terminate()
        process.wait(timeout=60)


@pytest.mark.usefixtures("airflow_metadata")
def test_a_component_without_a_recent_heartbeat_is_not_alive():
    job = Job()
    job.job_type = "TriggererJob"
    server = runpy.run_path(PLUGINS / "component_health.py")["health_server"](job, 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        port = server.server_address[1]
        # Not yet running.
        assert status(port) == 503
        job.state = JobState.RUNNING
        assert status(port) == 200
        job.latest_heartbeat -= timedelta(minutes=5)
        assert status(port) == 503
    finally:
        server.shutdown()
        server.server_close()
