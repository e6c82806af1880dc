"""The images, built once on stand-in bases by a Docker daemon of the test's own."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from images.support import bases, caches
from images.support.docker import PROGRAM, Docker, DockerUnavailableError
from manifests.support.kustomize import CHECKOUT

CACHE = CHECKOUT / ".cache" / "images"
TAG = "test"
NAMES = ("airflow", "feed", "jupyter", "mlflow", "minio", "backup", "api", "ui", "retrain", "locust")
CA = Path("/etc/ssl/certs/ca-certificates.crt")


@pytest.fixture(scope="session")
def docker() -> Iterator[Docker]:
    """A daemon without images.

    `READMISSION_TEST_DOCKER` names a folder whose daemon is kept with its images and what they were
    built of.
    """
    kept = os.environ.get("READMISSION_TEST_DOCKER")
    # A socket's path must be short, which pytest's folders are not.
    daemon = Docker(Path(kept or tempfile.mkdtemp(prefix="docker-")), kept=bool(kept))
    try:
        daemon.start()
    except DockerUnavailableError as error:
        shutil.rmtree(daemon.folder, ignore_errors=True)
        _missing(str(error))
    yield daemon
    if not kept:
        daemon.stop()


@pytest.fixture(scope="session")
def images(docker: Docker) -> dict[str, str]:
    """All images by name, built by the program that server 2 runs."""
    try:
        bases.make(docker, CACHE)
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
