"""What the build of images says about its sources, without Docker's part of it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "server2-tracking" / "images" / "build.py"


@pytest.fixture
def docker(tmp_path):
    """Return a program that records its arguments in place of Docker, alone on PATH."""
    program = tmp_path / "docker"
    program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\n')
    program.chmod(0o755)
    return program


def build(docker, *words):
    command = [sys.executable, str(SCRIPT), "--docker", str(docker), "--only", "api", *words]
    # As on a server that has no git.
    environment = os.environ | {"PATH": str(docker.parent)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_images_carry_the_commit_that_the_play_names(docker):
    done = build(docker, "--tag", "0a1b2c3d4e5f", "--revision", "0a1b2c3d4e5f60718293a4b5c6d7e8f901234567")
    assert done.returncode == 0, done.stdout + done.stderr
    calls = (docker.parent / "calls").read_text()
    assert "--build-arg=REVISION=0a1b2c3d4e5f60718293a4b5c6d7e8f901234567" in calls
    assert "unknown" not in calls


def test_without_git_the_build_says_what_to_give_it(docker):
    done = build(docker)
    assert done.returncode != 0
    assert "set the commit with --tag" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
