"""The processes of the demo: started on loopback with their output in a log file, stopped together."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil


class DemoError(Exception):
    """Something stopped the demo; one line that a person can act on."""


def free_port(preferred: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """Return `preferred`, or any free loopback port of TCP or UDP where another process holds it."""
    for port in (preferred, 0):
        with socket.socket(socket.AF_INET, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise DemoError("no free port on 127.0.0.1")


@dataclass
class Processes:
    """What runs, in the order it was started."""

    logs: Path
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    passing: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, name: str, command: Sequence[str | Path], env: Mapping[str, str], cwd: Path) -> None:
        """Start `command`, which is to run as long as the demo."""
        self.running[name] = self._begin(name, command, env, cwd)

    def start_passing(
        self, name: str, command: Sequence[str | Path], env: Mapping[str, str], cwd: Path
    ) -> None:
        """Start `command`, which may end, well or not, before the demo does."""
        self.passing.append(self._begin(name, command, env, cwd))

    def _begin(
        self, name: str, command: Sequence[str | Path], env: Mapping[str, str], cwd: Path
    ) -> subprocess.Popen[bytes]:
        # In a session of its own, so that Ctrl-C reaches the demo alone.
        self.logs.mkdir(parents=True, exist_ok=True)
        with (self.logs / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                [str(part) for part in command],
                env={**os.environ, **env},
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def run(self, name: str, command: Sequence[str | Path], env: Mapping[str, str], cwd: Path) -> None:
        """Run `command` to its end; raises `DemoError` where it fails."""
        self.start(name, command, env, cwd)
        if self.running.pop(name).wait() != 0:
            raise DemoError(f"{name} failed")

    def check(self) -> None:
        """Raise `DemoError` where a process has ended by itself."""
        for name, process in self.running.items():
            if (code := process.poll()) is not None:
                raise DemoError(f"{name} ended with code {code}")

    def wait_until(self, ready: Callable[[], bool], what: str, timeout: float = 180) -> None:
        """Wait until `ready` says so while all processes live; `timeout` in seconds."""
        end = time.monotonic() + timeout
        while not ready():
            self.check()
            if time.monotonic() > end:
                raise DemoError(f"{what} did not answer within {timeout:.0f} seconds")
            time.sleep(0.3)

    def stop(self) -> None:
        """Stop all, the last started first; what does not end within 15 seconds is killed."""
        for passing in self.passing:
            with suppress(ProcessLookupError):
                os.killpg(passing.pid, signal.SIGKILL)
            passing.wait()
        self.passing.clear()
        started = [psutil.Process(process.pid) for process in reversed(self.running.values())]
        # Airflow's workers leave their parent's process group: they are found by their parents.
        everything = [*started, *(child for process in started for child in _children(process))]
        for process in started:
            _tell(process, signal.SIGTERM)
        _, alive = psutil.wait_procs(everything, timeout=15)
        for process in alive:
            _tell(process, signal.SIGKILL)
        psutil.wait_procs(alive, timeout=5)
        self.running.clear()


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return list(process.children(recursive=True))
    except psutil.NoSuchProcess:
        return []


def _tell(process: psutil.Process, number: signal.Signals) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)


def answers(url: str) -> bool:
    """Tell whether `url` answers with success."""
    try:
        return httpx.get(url, timeout=2).is_success
    except httpx.TransportError:
        return False
