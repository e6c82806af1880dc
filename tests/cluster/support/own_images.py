"""The project's own images: built as server 2 builds them, and pushed to server 2's registry."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from cluster.support.clusters import Cluster
from cluster.support.commands import LabError, run
from cluster.support.layout import CACHE, CHECKOUT, REGISTRY
from images.support import bases, caches
from images.support.docker import PROGRAM, Docker

CA = Path("/etc/ssl/certs/ca-certificates.crt")
LIMIT = 12 * 2**30
"""Bytes of a registry that is emptied before a run."""


def release() -> str:
    """Return the commit to deploy: HEAD, or one made of the work tree if that has changes."""
    made = run("git", "stash", "create", cwd=CHECKOUT)
    return made or run("git", "rev-parse", "HEAD", cwd=CHECKOUT)


def deployed(serving: Cluster) -> str:
    """Return the commit whose images run on server 3."""
    [api] = serving.get("deployment", "api")
    tag = api["spec"]["template"]["spec"]["containers"][0]["image"].rpartition(":")[2]
    return run("git", "rev-parse", tag, cwd=CHECKOUT)


def daemon() -> Docker:
    """Start the Docker daemon whose images and build caches outlive the run."""
    docker = Docker(CACHE / "docker", kept=True)
    docker.start()
    bases.make(docker, CACHE / "bases")
    return docker


def build_and_push(docker: Docker, commit: str) -> str:
    """Build all images with the commit's tag and push them. Return what the build program said."""
    if not docker.run("images", "--quiet", "readmission/*"):
        caches.lend(docker)
    done = subprocess.run(
        [
            sys.executable, CHECKOUT / "server2-tracking/images/build.py", "--tag", commit[:12],
            "--registry", REGISTRY, "--docker", PROGRAM, "--python-image", bases.PYTHON,
            "--go-image", bases.GO, "--mysql-image", bases.MYSQL, "--ca", CA,
        ],
        env={**os.environ, "DOCKER_HOST": docker.host}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise LabError(done.stdout + done.stderr)
    return done.stdout


def prune(docker: Docker, commit: str) -> None:
    """Remove the images of earlier commits, whose layers nobody needs."""
    for name in docker.run(
        "images", "--format", "{{.Repository}}:{{.Tag}}", f"{REGISTRY}/readmission/*"
    ).split():
        if not name.endswith(commit[:12]):
            docker.call("rmi", name)
    docker.call("image", "prune", "--force")
    docker.call("builder", "prune", "--force", "--keep-storage=20GB")


def empty_full_registry() -> None:
    """Empty the registry's kept folder if it has grown too large. It must not run."""
    folder = CACHE / "registry"
    if folder.exists():
        size = int(run("du", "--summarize", "--bytes", folder).split()[0])
        if size > LIMIT:
            shutil.rmtree(folder)
