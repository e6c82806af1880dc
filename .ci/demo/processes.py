"""The processes of the demo: started on loopback with their output in a log file, stopped together."""

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

ENDS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""What asks the demo to end: Ctrl-C, a person or a supervisor, a terminal that is closed."""


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
    """What runs, in the order it was started; as a context, it stops all at the end, whatever ends it."""

    logs: Path
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    passing: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __enter__(self) -> Self:
        for number in (signal.SIGTERM, signal.SIGHUP):
            # Under `nohup` a closed terminal is to change nothing.
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, _leave)
        return self

    def __exit__(self, *_: object) -> None:
        _hear_no_more()
        self.stop()

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
        code = self.running[name].wait()
        # Until here `stop` has to find it.
        del self.running[name]
        if code != 0:
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
        """Stop all, the last started first; what does not end within 15 seconds is killed.

        That is each process and what it began, also where it has died and left that behind.
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
            # Who lives ends its own; what a dead one left has nobody else to tell it.
            dead = process.poll() is not None
            for member in members:
                if dead or member.pid == process.pid:
                    _tell(member, signal.SIGTERM)
        _, alive = psutil.wait_procs(reached, timeout=15)
        # Some may have begun others meanwhile.
        alive += [member for process in self.running.values() for member in _session(process.pid)]
        for left in alive:
            _tell(left, signal.SIGKILL)
        psutil.wait_procs(alive, timeout=5)
        self.running.clear()


def _leave(number: int, _: object) -> None:
    _hear_no_more()
    sys.exit(128 + number)


def _hear_no_more() -> None:
    # A closed terminal tells it more than once: the second must not end the stopping.
    for number in ENDS:
        signal.signal(number, signal.SIG_IGN)


def _session(leader: int) -> list[psutil.Process]:
    """Return what lives in the session of `leader`, also where that has ended."""
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


def _tell(process: psutil.Process, number: signal.Signals) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)


def answers(url: str) -> bool:
    """Tell whether `url` answers with success."""
    try:
        return httpx.get(url, timeout=2).is_success
    except httpx.TransportError:
        return False
