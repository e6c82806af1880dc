"""Build the project's images from this checkout, and push them if a registry is set.

    python3 server2-tracking/images/build.py --registry localhost:32000

Needs Docker with BuildKit (Ubuntu 24.04: `docker.io` and `docker-buildx`) and Python's own library.
Builds share the host's network, so that Docker may run without a bridge and without touching the firewall.
"""

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Image:
    """One image: its name, its Dockerfile from the top level, and the target in it if there are several."""

    name: str
    dockerfile: str
    target: str | None = None


# Longest first, so that two parallel builds end at about the same time. The feed reuses Airflow's layers.
IMAGES = (
    Image("airflow", "server1-data/Dockerfile", "airflow"),
    Image("minio", "server2-tracking/minio/Dockerfile"),
    Image("mlflow", "server2-tracking/Dockerfile"),
    Image("jupyter", "server1-data/notebooks/Dockerfile"),
    Image("ui", "server3-serving/Dockerfile", "ui"),
    Image("api", "server3-serving/Dockerfile", "api"),
    Image("backup", "server2-tracking/backup/Dockerfile"),
    Image("locust", "server3-serving/Dockerfile", "loadtest"),
    Image("retrain", "server3-serving/Dockerfile", "retrain"),
    Image("feed", "server1-data/Dockerfile", "feed"),
)


class BuildError(Exception):
    """An image could not be built or pushed; the message contains the last lines of Docker's output."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Build the requested images; return the exit status."""
    options = _parser().parse_args(arguments)
    chosen = [image for image in IMAGES if not options.only or image.name in options.only]
    began = time.monotonic()
    failures = 0
    with ThreadPoolExecutor(options.jobs) as pool:
        for image, work in [(image, pool.submit(_make, image, options)) for image in chosen]:
            try:
                name, seconds = work.result()
            except BuildError as error:
                failures += 1
                sys.stderr.write(f"error: {image.name}: {error}\n")
            else:
                sys.stdout.write(f"{name}  {seconds:.0f} s\n")
            sys.stdout.flush()
    sys.stdout.write(
        f"{len(chosen) - failures} of {len(chosen)} images in {time.monotonic() - began:.0f} s\n"
    )
    return 1 if failures else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Build the project's images.")
    parser.add_argument("--tag", help="tag of the images; the checkout's commit by default")
    parser.add_argument("--revision", help="commit that labels the images; the tag, or the checkout's commit")
    parser.add_argument("--registry", help="HOST:PORT to push to; without it the images stay here")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=[image.name for image in IMAGES])
    parser.add_argument("--jobs", type=int, default=2, help="builds at a time")
    parser.add_argument("--python-image", help="replaces the pinned Python image")
    parser.add_argument("--go-image", help="replaces the pinned Go image")
    parser.add_argument("--mysql-image", help="replaces the pinned MySQL image")
    parser.add_argument(
        "--ca", type=Path, help="CA bundle for downloads behind a TLS proxy; never in a layer"
    )
    parser.add_argument("--docker", default="docker", help="the docker program")
    return parser


def _make(image: Image, options: argparse.Namespace) -> tuple[str, float]:
    """Build one image, push it if requested, and return its name and the seconds."""
    began = time.monotonic()
    tag = options.tag or _commit()
    # A release that was unpacked on server 2 is not a checkout; its tag is its commit.
    revision = options.revision or options.tag or _commit()
    name = f"{options.registry + '/' if options.registry else ''}readmission/{image.name}:{tag}"
    command = [
        options.docker,
        "build",
        "--network=host",
        f"--file={ROOT / image.dockerfile}",
        f"--tag={name}",
    ]
    command += [f"--build-arg=REVISION={revision}"]
    if image.target:
        command += [f"--target={image.target}"]
    if options.ca:
        command += [f"--secret=id=ca,src={options.ca}"]
    dockerfile = (ROOT / image.dockerfile).read_text()
    for argument, value in (
        # For a Dockerfile that builds several services.
        ("SERVICE", image.target),
        ("PYTHON_IMAGE", options.python_image),
        ("GO_IMAGE", options.go_image),
        ("MYSQL_IMAGE", options.mysql_image),
    ):
        # Docker warns about arguments that a Dockerfile does not use.
        if value and re.search(rf"^ARG {argument}\b", dockerfile, re.MULTILINE):
            command += [f"--build-arg={argument}={value}"]
    _run([*command, str(ROOT)])
    if options.registry:
        _run([options.docker, "push", "--quiet", name])
    return name, time.monotonic() - began


def _commit() -> str:
    try:
        asked = subprocess.run(
            ["git", "rev-parse", "--short=12", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
        )
    except FileNotFoundError as error:
        raise BuildError("git is not installed: set the commit with --tag") from error
    if asked.returncode:
        raise BuildError(f"{ROOT} is not a git checkout: set the commit with --tag")
    return asked.stdout.strip()


def _run(command: Sequence[str]) -> None:
    environment = {**os.environ, "DOCKER_BUILDKIT": "1", "BUILDKIT_PROGRESS": "plain"}
    try:
        done = subprocess.run(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
    except FileNotFoundError as error:
        raise BuildError(
            f"{command[0]} is not installed (Ubuntu: apt-get install docker.io docker-buildx)"
        ) from error
    if done.returncode:
        raise BuildError(f"`{' '.join(command[:2])}` failed\n" + "\n".join(done.stdout.splitlines()[-25:]))


if __name__ == "__main__":
    sys.exit(main())
