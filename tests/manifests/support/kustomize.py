"""Build kustomizations with the real program: kustomize or kubectl on PATH, or built from its Go module."""

import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

CHECKOUT = Path(__file__).parents[3]
VERSION = "v5.7.1"
"""As in kubectl 1.35."""
OLDEST = (5, 3)
"""From here on components run after generators, which the addresses in NetworkPolicies need."""

SERVERS = {
    "server1-data": "readmission-data",
    "server2-tracking": "readmission-tracking",
    "server3-serving": "readmission-serving",
}


def build(folder: Path) -> list[dict[str, Any]]:
    """Return the objects of a kustomization."""
    done = subprocess.run([*program(), str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.load_all(done.stdout, Loader=yaml.CSafeLoader) if document]


@cache
def program() -> tuple[str, ...]:
    """Return the command that builds a folder."""
    for candidate in (("kustomize", "build"), ("kubectl", "kustomize")):
        if shutil.which(candidate[0]) and _version(candidate[0]) >= OLDEST:
            return candidate
    built = CHECKOUT / ".cache" / "go" / f"kustomize-{VERSION}"
    if not built.exists():
        _install(built)
    return (str(built), "build")


def _version(name: str) -> tuple[int, int]:
    command = [name, "version", *(["--client"] if name == "kubectl" else [])]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    found = re.search(r"(?:Kustomize Version: )?v(\d+)\.(\d+)\.\d+\s*$", said)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _install(target: Path) -> None:
    go = shutil.which("go", path=f"{os.environ['PATH']}:/usr/local/go/bin")
    if go is None:
        message = "kustomize is missing (5.3 or newer, or kubectl 1.31), and there is no Go to build it with"
        if os.environ.get("CI"):
            pytest.fail(message, pytrace=False)
        pytest.skip(message)
    folder = target.parent / f"build-kustomize-{os.getpid()}"
    folder.mkdir(parents=True)
    subprocess.run(
        [go, "install", f"sigs.k8s.io/kustomize/kustomize/v5@{VERSION}"],
        env={**os.environ, "GOBIN": str(folder)},
        check=True,
        capture_output=True,
    )
    (folder / "kustomize").replace(target)
    folder.rmdir()
