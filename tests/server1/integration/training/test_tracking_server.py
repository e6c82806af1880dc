"""A training against a real MLflow server that proxies artifacts, as the deployment runs it."""

import os
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient

from readmission_data.training import result as results
from readmission_data.training.run import train
from readmission_data.training.search import risk

MLFLOW = Path(__file__).parents[4] / ".venvs" / "tracking" / "bin" / "mlflow"
STARTS_WITHIN = 120


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture(scope="module")
def server(new_store, tmp_path_factory):
    if not MLFLOW.exists():
        message = "the tracking server's environment is missing: make .venvs/tracking.runtime"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    folder = tmp_path_factory.mktemp("server")
    address = f"127.0.0.1:{free_port()}"
    host, port = address.split(":")
    command = [MLFLOW, "server", "--host", host, "--port", port, "--workers", "1"]
    command += ["--backend-store-uri", new_store()]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    log = (folder / "log").open("wb")
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    process = subprocess.Popen(
        command, stdout=log, stderr=log, cwd=folder, env=environment, start_new_session=True
    )
    try:
        deadline = time.monotonic() + STARTS_WITHIN
        while not answers(f"http://{address}/health"):
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline, "the MLflow server did not start"
            time.sleep(0.2)
        yield f"http://{address}", folder
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)
        log.close()


def answers(url):
    try:
        with urllib.request.urlopen(url, timeout=5) as response:  # noqa: S310 - this machine's own server
            return response.status == 200
    except OSError:
        return False


def test_a_training_is_recorded_and_read_back_through_the_server(prepared, server):
    address, folder = server
    settings = prepared.model_copy(update={"tracking_uri": address, "candidates": ("lightgbm",)})
    result = train(settings)
    client = MlflowClient(address)
    uri = client.get_run(result.run_id).info.artifact_uri
    assert uri.startswith("mlflow-artifacts:")
    # The client sent the files to the server, which keeps them in its own store.
    assert list((folder / "artifacts").rglob("lineage.json"))
    assert results.load_lineage(settings, result).synthetic
    assert results.load_subgroups(settings, result)["encounters"].min() >= 1
    encoding = results.load_encoding(settings, result)
    scores = risk(results.load_estimator(settings, result), np.zeros((2, len(encoding.names)), np.float32))
    assert scores[0] == scores[1]
    assert 0 < scores[0] < 1
    assert train(settings).reused
