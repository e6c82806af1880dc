"""A real MLflow tracking server that proxies artifacts, as the deployment runs it."""

import os
import signal
import socket
import subprocess
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

MLFLOW = Path(__file__).parents[2] / ".venvs" / "tracking" / "bin" / "mlflow"
STARTS_WITHIN = 120


class TrackingUnavailableError(Exception):
    """No tracking server is available on this machine; the message says why in one line."""


@dataclass(frozen=True)
class TrackingServer:
    """A server that may still be starting: `wait` before its first use."""

    address: str
    folder: Path
    process: "subprocess.Popen[bytes]"

    def wait(self) -> None:
        """Wait until the server responds."""
        deadline = time.monotonic() + STARTS_WITHIN
        while not _answers(f"{self.address}/health"):
            assert self.process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < deadline, "the MLflow server did not start"
            time.sleep(0.1)

    def busy(self) -> bool:
        """Return whether one of its threads runs or waits for a disk; idle threads sleep."""
        return bool({"R", "D"} & set(_states_of_threads(self.process.pid)))

    def stop(self) -> None:
        """Stop the server and its workers."""
        os.killpg(self.process.pid, signal.SIGTERM)
        self.process.wait(30)


def start(folder: Path, store: str, *options: str) -> TrackingServer:
    """Start a server on a free loopback port with its metadata in `store`, without waiting for it."""
    if not MLFLOW.exists():
        raise TrackingUnavailableError(
            "the tracking server's environment is missing: make .venvs/tracking.runtime"
        )
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    command = [str(MLFLOW), "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", store, "--artifacts-destination", str(folder / "artifacts"), *options]
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, cwd=folder, env=environment, start_new_session=True
        )
    return TrackingServer(f"http://127.0.0.1:{port}", folder, process)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:  # noqa: S310 - this machine's own server
            return bool(response.status == 200)
    except OSError:
        return False


def _states_of_threads(group: int) -> list[str]:
    states = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(_fields(path)[2]) == group:
                states += [_fields(thread)[0] for thread in path.parent.glob("task/*/stat")]
        except (FileNotFoundError, ProcessLookupError):
            continue
    return states


def _fields(path: Path) -> list[str]:
    """The fields of a process's `stat` after its name: state, parent, process group, ..."""
    return path.read_text().rpartition(") ")[2].split()
