"""The processes of the demo: started on loopback with their output in a log file, stopped together."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx


class DemoError(Exception):
    """Something stopped the demo; one line that a person can act on."""


def free_port(preferred: int) -> int:
    """Return `preferred`, or any free loopback port where another process holds it."""
    for port in (preferred, 0):
        with socket.socket() as probe:
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

    def log_of(self, name: str) -> Path:
        """Return the file that holds what `name` printed."""
        return self.logs / f"{name}.log"

    def start(self, name: str, command: Sequence[str | Path], env: Mapping[str, str], cwd: Path) -> None:
        """Start `command` in a session of its own, so that all it starts can be stopped with it."""
        self.logs.mkdir(parents=True, exist_ok=True)
        with self.log_of(name).open("ab") as log:
            self.running[name] = subprocess.Popen(
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
            raise DemoError(f"{name} failed: see {self.log_of(name)}")

    def check(self) -> None:
        """Raise `DemoError` where a process has ended by itself."""
        for name, process in self.running.items():
            if (code := process.poll()) is not None:
                raise DemoError(f"{name} ended with code {code}: see {self.log_of(name)}")

    def wait_until(self, ready: Callable[[], bool], what: str, timeout: float = 180) -> None:
        """Wait until `ready` says so while all processes live; `timeout` in seconds."""
        end = time.monotonic() + timeout
        while not ready():
            self.check()
            if time.monotonic() > end:
                raise DemoError(f"{what} did not answer within {timeout:.0f} seconds: see {self.logs}")
            time.sleep(0.3)

    def stop(self) -> None:
        """Stop all, the last started first; what does not end within 15 seconds is killed."""
        processes = list(self.running.values())[::-1]
        for process in processes:
            _signal_session(process, signal.SIGTERM)
        end = time.monotonic() + 15
        for process in processes:
            try:
                process.wait(max(0.1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                print(f"demo: killing process {process.pid}, which did not end", file=sys.stderr)
            # Also what the process left behind in its session.
            _signal_session(process, signal.SIGKILL)
            process.wait()
        self.running.clear()


def _signal_session(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return


def answers(url: str) -> bool:
    """Tell whether `url` answers with success."""
    try:
        return httpx.get(url, timeout=2).is_success
    except httpx.TransportError:
        return False
