"""The inference API in its own process, as an operator runs it."""

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any, Self

import httpx

from server3.api.support.tracking import CHECKOUT, Registry, free_port


class Service:
    """A running `python -m readmission_api`; settings are given in lower case, without the prefix."""

    def __init__(self, folder: Path, registry: Registry | None = None, **settings: Any) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log_file = folder / "api.log"
        self.state_dir = folder / "state"
        self._settings = {
            "port": self.port,
            "state_dir": self.state_dir,
            "reload_seconds": 3600,
            "registry_timeout_seconds": 2,
            **({"tracking_uri": registry.uri, "model_name": registry.model} if registry else {}),
            **settings,
        }
        self.http = httpx.Client(base_url=self.url, timeout=30)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *, ready: bool = True) -> Self:
        names = {f"READMISSION_API_{name.upper()}": str(value) for name, value in self._settings.items()}
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [CHECKOUT / ".venvs/api/bin/python", "-m", "readmission_api"],
                env={**os.environ, "OMP_NUM_THREADS": "1", **names},
                stdout=log,
                stderr=log,
            )
        self.wait(lambda: self.http.get("/health/ready" if ready else "/health/live").status_code == 200)
        return self

    def wait(self, condition: Any, seconds: float = 60) -> None:
        """Wait until a condition holds; connections that fail count as not yet."""
        end = time.monotonic() + seconds
        while True:
            try:
                if condition():
                    return
            except httpx.TransportError:
                pass
            if time.monotonic() > end or (self.process and self.process.poll() is not None):
                raise AssertionError(f"it did not come to pass; the log says:\n{self.log()[-3000:]}")
            time.sleep(0.05)

    def stop(self) -> int:
        """Send SIGTERM and return the exit code."""
        self.http.close()
        if self.process is None:
            return 0
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)

    def kill(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def log(self) -> str:
        return self.log_file.read_text() if self.log_file.exists() else ""

    def metric(self, name: str, **labels: str) -> float | None:
        """Return one sample from /metrics, or None."""
        for line in self.http.get("/metrics").text.splitlines():
            if line.startswith("#"):
                continue
            series, _, value = line.rpartition(" ")
            given, _, rest = series.partition("{")
            if given == name and all(f'{key}="{wanted}"' in rest for key, wanted in labels.items()):
                return float(value)
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if self.process and self.process.poll() is None:
                self.stop()
        finally:
            self.kill()
