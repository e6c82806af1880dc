"""The demo's processes: each writes to its own log file, and all are stopped together."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

import httpx
import psutil

from readmission_demo.errors import DemoError

ENDS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that end the demo: Ctrl-C, a user or supervisor, a closed terminal."""


def free_port(preferred: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """Return `preferred`, or any free loopback port for TCP or UDP if another process uses it."""
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
    """The running processes in the order they were started. As a context manager it stops all of them."""

    logs: Path
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    passing: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __enter__(self) -> Self:
        for number in (signal.SIGTERM, signal.SIGHUP):
            # Under `nohup` a closed terminal changes nothing.
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, _leave)
        return self

    def __exit__(self, *_: object) -> None:
        _ignore_signals()
        self.stop()

    def start(self, name: str, command: Sequence[str | Path], env: Mapping[str, str], cwd: Path) -> None:
        """Start `command`, which runs as long as the demo."""
        self.running[name] = self._begin(name, command, env, cwd)

    def start_passing(
        self, name: str, command: Sequence[str | Path], env: Mapping[str, str], cwd: Path
    ) -> None:
        """Start `command`, which may end before the demo does, with any exit code."""
        self.passing.append(self._begin(name, command, env, cwd))

    def _begin(
        self, name: str, command: Sequence[str | Path], env: Mapping[str, str], cwd: Path
    ) -> subprocess.Popen[bytes]:
        # In its own session, so that Ctrl-C reaches only the demo.
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
        """Run `command` to its end; raise `DemoError` if it fails."""
        self.start(name, command, env, cwd)
        code = self.running[name].wait()
        # Removed only now, so that `stop` finds it if the wait is interrupted.
        del self.running[name]
        if code != 0:
            raise DemoError(f"{name} failed")

    def check(self) -> None:
        """Raise `DemoError` if a process has ended."""
        for name, process in self.running.items():
            if (code := process.poll()) is not None:
                raise DemoError(f"{name} ended with code {code}")

    def wait_until(self, ready: Callable[[], bool], what: str, timeout: float = 180) -> None:
        """Wait until `ready` returns true.

        Raise `DemoError` after `timeout` seconds, or if a process ends meanwhile.
        """
        end = time.monotonic() + timeout
        while not ready():
            self.check()
            if time.monotonic() > end:
                raise DemoError(f"{what} did not respond within {timeout:.0f} seconds")
            time.sleep(0.3)

    def stop(self) -> None:
        """Stop all processes and their children, the last one first; kill what is left after 15 seconds.

        This includes children that a dead process left behind.
        """
        for passing in self.passing:
            with suppress(ProcessLookupError):
                os.killpg(passing.pid, signal.SIGKILL)
            passing.wait()
        self.passing.clear()
        reached = []
        for process in reversed(self.running.values()):
            # Airflow's workers leave their parent's process group, not its session.
            members = _session(process.pid)
            reached += [*members, *(child for member in members for child in _children(member))]
            # A live process stops its own children; the children of a dead one must be signaled.
            dead = process.poll() is not None
            for member in members:
                if dead or member.pid == process.pid:
                    _signal(member, signal.SIGTERM)
        _, alive = psutil.wait_procs(reached, timeout=15)
        # Some may have started new processes meanwhile.
        alive += [member for process in self.running.values() for member in _session(process.pid)]
        for left in alive:
            _signal(left, signal.SIGKILL)
        psutil.wait_procs(alive, timeout=5)
        self.running.clear()


def _leave(number: int, _: object) -> None:
    _ignore_signals()
    sys.exit(128 + number)


def _ignore_signals() -> None:
    # A closed terminal sends more than one signal: the second must not interrupt the clean-up.
    for number in ENDS:
        signal.signal(number, signal.SIG_IGN)


def _session(leader: int) -> list[psutil.Process]:
    """Return the processes in the session of `leader`, even if it has ended itself."""
    found = []
    for process in psutil.process_iter():
        with suppress(ProcessLookupError):
            if os.getsid(process.pid) == leader:
                found.append(process)
    return found


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return list(process.children(recursive=True))
    except psutil.NoSuchProcess:
        return []


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)


def responds(url: str) -> bool:
    """Return whether `url` responds with success."""
    try:
        return httpx.get(url, timeout=2).is_success
    except httpx.TransportError:
        return False
