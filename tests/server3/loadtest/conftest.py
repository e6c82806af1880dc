"""Fixtures of the load test's tests: a real inference API with a real model version."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from server3.ui.support import processes
from server3.ui.support.processes import Served

REGISTER = Path(__file__).parents[1] / "ui" / "support" / "register_versions.py"


@pytest.fixture(scope="session")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The inference API with a real model; MLflow stops as soon as the API has loaded it."""
    folder = tmp_path_factory.mktemp("registry")
    registry = processes.mlflow_server(folder)
    registry.start()
    try:
        registry.wait()
        subprocess.run(
            [processes.python("data"), REGISTER, registry.url, folder / "versions"],
            cwd=folder,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            check=True,
            timeout=300,
        )
        served = processes.api(folder / "api", registry.url, "/health/ready")
        served.start()
        try:
            served.wait()
            registry.stop()
            yield served
        finally:
            served.stop()
    finally:
        registry.stop()
