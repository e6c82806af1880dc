"""What the tests of the pages share: real model versions in a real MLflow, and real inference APIs."""

import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from server3.ui.support import processes
from server3.ui.support.processes import Served

MODEL = "best_diabetes_readmission_model"
TOKEN = "open sesame"


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """An MLflow server with three versions of the model; see register_versions.py."""
    folder = tmp_path_factory.mktemp("registry")
    server = processes.mlflow_server(folder)
    server.start()
    script = Path(__file__).parent / "support" / "register_versions.py"
    making = subprocess.Popen(
        [processes.python("data"), script, server.url, folder / "versions"],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        server.wait()
        assert making.wait(timeout=300) == 0
        yield server
    finally:
        making.kill()
        server.stop()


@dataclass(frozen=True)
class Apis:
    """One API for each of what the tests need; they start side by side."""

    production: Served
    rehearsal: Served
    busy: Served
    without_model: Served


@pytest.fixture(scope="session")
def apis(registry: Served) -> Iterator[Apis]:
    """The running APIs. No token guards them but `rehearsal`."""
    folder = registry.folder

    def define(name: str, alias: str, ready_path: str = "/health/ready", **settings: str) -> Served:
        return processes.api(folder / name, registry.url, ready_path, alias=alias, **settings)

    running = Apis(
        production=define("production", "production"),
        rehearsal=define("rehearsal", "rehearsal", token=TOKEN),
        busy=define("busy", "production", prediction_log_url="sqlite:///log.db", drift_minimum="100"),
        without_model=define("without_model", "nobody", "/health/live"),
    )
    servers = [running.production, running.rehearsal, running.busy, running.without_model]
    try:
        for server in servers:
            server.start()
        for server in servers:
            server.wait()
        yield running
    finally:
        for server in servers:
            server.terminate()
        for server in servers:
            server.stop()


@pytest.fixture(scope="session")
def api(apis: Apis) -> Served:
    """An API that serves version 1, trained on real data by its schema."""
    return apis.production


@pytest.fixture(scope="session")
def rehearsal_api(apis: Apis) -> Served:
    """An API that serves version 2, trained on synthetic data by its schema. A token guards its reload."""
    return apis.rehearsal


@pytest.fixture
def point_rehearsal(registry: Served, rehearsal_api: Served) -> Iterator[Callable[[str], None]]:
    """Call it with a version that the alias `rehearsal` is to stand for; in the end it is 2 again."""

    def point(version: str) -> None:
        alias = {"name": MODEL, "alias": "rehearsal", "version": version}
        path = "/api/2.0/mlflow/registered-models/alias"
        httpx.post(registry.url + path, json=alias, timeout=30).raise_for_status()

    yield point
    point("2")
    headers = {"authorization": f"Bearer {TOKEN}"}
    httpx.post(f"{rehearsal_api.url}/reload_model", headers=headers, timeout=60).raise_for_status()


@pytest.fixture(scope="session")
def pages(api: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The pages of version 1, as a user starts them."""
    server = processes.pages(tmp_path_factory.mktemp("pages"), api.url)
    server.start()
    try:
        server.wait()
        yield server
    finally:
        server.stop()
