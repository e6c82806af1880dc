"""Servers that a test starts as processes of their own, on loopback, and stops by their ids."""

import os
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

CHECKOUT = Path(__file__).parents[4]
START_SECONDS = 300


def python(environment: str) -> str:
    """Return the interpreter of one of the project's environments; without it nothing here can be tested."""
    found = CHECKOUT / ".venvs" / environment / "bin" / "python"
    if not found.exists():
        raise FileNotFoundError(f"the environment {environment} is missing: make .venvs/{environment}.dev")
    return str(found)


def free_port() -> int:
    """Return a port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Served:
    """One server: how it is started, and whether its answer at `ready_path` is the one waited for."""

    command: Sequence[str]
    port: int
    ready_path: str
    settings: Mapping[str, str]
    folder: Path
    process: subprocess.Popen[bytes] | None = field(default=None)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, without waiting for it."""
        with (self.folder / f"{self.port}.log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.folder,
                env={**os.environ, "OMP_NUM_THREADS": "1", **self.settings},
                stdout=log,
                stderr=log,
            )

    def wait(self) -> None:
        """Wait until it answers well; fails with its log where it does not."""
        assert self.process is not None
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until and self.process.poll() is None:
            try:
                if httpx.get(self.url + self.ready_path, timeout=5).is_success:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.1)
        log = (self.folder / f"{self.port}.log").read_text()[-2000:]
        raise AssertionError(f"{' '.join(self.command)} did not come up:\n{log}")

    def terminate(self) -> None:
        """Ask it to end, without waiting for it."""
        if self.process is not None:
            self.process.terminate()

    def stop(self) -> None:
        """End it, by SIGTERM and after a while by SIGKILL."""
        if self.process is None:
            return
        self.terminate()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None


def mlflow_server(folder: Path) -> Served:
    """MLflow over the SQLite store in the folder."""
    port = free_port()
    return Served(
        [
            str(Path(python("tracking")).with_name("mlflow")),
            "server",
            "--backend-store-uri",
            f"sqlite:///{folder / 'mlflow.db'}",
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
            "--workers",
            "1",
        ],
        port,
        "/health",
        {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"},
        folder,
    )


def api(folder: Path, tracking_uri: str, ready_path: str, **settings: str) -> Served:
    """The inference API, in a folder of its own."""
    folder.mkdir()
    port = free_port()
    told = {
        "tracking_uri": tracking_uri,
        "port": str(port),
        "state_dir": str(folder),
        "shadow": "false",
        "reload_seconds": "3600",
        "drain_seconds": "1",
        **settings,
    }
    environment = {f"READMISSION_API_{name.upper()}": value for name, value in told.items()}
    return Served([python("api"), "-m", "readmission_api"], port, ready_path, environment, folder)


def pages(folder: Path, api_url: str, **settings: str) -> Served:
    """The pages themselves, as a user starts them."""
    port = free_port()
    told = {"api_url": api_url, "port": str(port), "refresh_seconds": "1", **settings}
    environment = {f"READMISSION_UI_{name.upper()}": value for name, value in told.items()}
    return Served([python("ui"), "-m", "readmission_ui"], port, "/_stcore/health", environment, folder)
