"""The images, built once on stand-in bases by a Docker daemon of the test's own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.support.layout import CACHE
from images.support import bases, caches
from images.support.docker import PROGRAM, Docker, DockerUnavailableError
from manifests.support.kustomize import CHECKOUT

TAG = "test"
NAMES = ("airflow", "feed", "jupyter", "mlflow", "minio", "backup", "api", "ui", "retrain", "locust")
CA = Path("/etc/ssl/certs/ca-certificates.crt")


@pytest.fixture(scope="session")
def docker() -> Iterator[Docker]:
    """A daemon whose images and build caches outlive the run."""
    daemon = Docker(CACHE / "docker", kept=True)
    try:
        daemon.start()
    except DockerUnavailableError as error:
        _missing(str(error))
    yield daemon
    daemon.stop()


@pytest.fixture(scope="session")
def images(docker: Docker) -> dict[str, str]:
    """All images by name, built by the program that server 2 runs."""
    try:
        bases.make(docker, CACHE / "bases")
    except DockerUnavailableError as error:
        _missing(str(error))
    if not docker.run("images", "--quiet", f"readmission/*:{TAG}"):
        caches.lend(docker)
    command = [
        sys.executable, CHECKOUT / "server2-tracking/images/build.py", "--tag", TAG, "--docker", PROGRAM,
        "--python-image", bases.PYTHON, "--go-image", bases.GO, "--mysql-image", bases.MYSQL, "--ca", CA,
    ]  # fmt: skip
    built = subprocess.run(
        command, env={**os.environ, "DOCKER_HOST": docker.host}, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stdout + built.stderr
    sys.stdout.write(built.stdout)
    return {name: f"readmission/{name}:{TAG}" for name in NAMES}


def _missing(what: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(what, pytrace=False)
    pytest.skip(what)
