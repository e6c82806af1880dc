"""A real MinIO on loopback, built once from the module that the deployed image is built from."""

import os
import re
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[3]
MODULE = CHECKOUT / "server2-tracking" / "minio"


@dataclass(frozen=True)
class Store:
    """A running MinIO."""

    url: str
    root: str
    password: str


def program() -> str:
    """Return the path of the server. If it is missing, CI fails and other runs skip."""
    found = re.search(r"minio/minio (v\S+)", (MODULE / "go.mod").read_text())
    assert found
    built = CHECKOUT / ".cache" / "go" / f"minio-{found[1]}"
    if built.exists():
        return str(built)
    go = shutil.which("go", path=f"{os.environ['PATH']}:/usr/local/go/bin")
    if go is None:
        message = "MinIO is missing, and there is no Go (1.24 or newer) to build it with"
        if os.environ.get("CI"):
            pytest.fail(message, pytrace=False)
        pytest.skip(message)
    built.parent.mkdir(parents=True, exist_ok=True)
    part = built.with_name(f"{built.name}.{os.getpid()}")
    subprocess.run(
        [go, "build", "-trimpath", "-ldflags", "-s -w", "-o", part, "github.com/minio/minio"],
        cwd=MODULE,
        env={**os.environ, "CGO_ENABLED": "0"},
        check=True,
        capture_output=True,
    )
    part.replace(built)
    return str(built)


@contextmanager
def running(folder: Path) -> Iterator[Store]:
    """Run a MinIO with its data in `folder` until the block ends."""
    folder.mkdir(parents=True)
    with socket.socket() as probe, socket.socket() as second:
        probe.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        port, console = probe.getsockname()[1], second.getsockname()[1]
    store = Store(f"http://127.0.0.1:{port}", "root-of-the-store", "secret-of-the-store")
    with (folder / "log").open("ab") as log:
        server = subprocess.Popen(
            [
                program(), "server", "--address", f"127.0.0.1:{port}",
                "--console-address", f"127.0.0.1:{console}", folder / "data",
            ],
            env={
                **os.environ, "MINIO_ROOT_USER": store.root, "MINIO_ROOT_PASSWORD": store.password,
                "MINIO_UPDATE": "off", "HOME": str(folder),
            },
            stdout=log,
            stderr=log,
        )  # fmt: skip
    try:
        end = time.monotonic() + 60
        while not answers(f"{store.url}/minio/health/cluster"):
            alive = server.poll() is None and time.monotonic() < end
            assert alive, (folder / "log").read_text()[-2000:]
            time.sleep(0.1)
        yield store
    finally:
        server.terminate()
        try:
            server.wait(timeout=10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=2).close()  # noqa: S310 - our own http address
    except OSError:
        return False
    return True
