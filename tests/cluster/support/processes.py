"""The processes of a node: started in its network, found again by pid files, stopped by their ids."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path


class Processes:
    """The long-running programs of one node. Their logs are in `home/log`, their ids in `home/pid`."""

    def __init__(self, home: Path, namespace: str) -> None:
        self.home = home
        self.namespace = namespace

    def inside(self, *command: object) -> list[str]:
        """Return the command line that runs a command in the node's network."""
        return ["nsenter", f"--net=/run/netns/{self.namespace}", *map(str, command)]

    def pid(self, name: str) -> int | None:
        """Return the id of a running program, or None."""
        with contextlib.suppress(OSError, ValueError):
            pid = int((self.home / "pid" / name).read_text())
            # Another process may have the id by now.
            if f"{self.home}/".encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
        return None

    def start(self, name: str, *command: object, env: Mapping[str, str] | None = None) -> None:
        """Start a program unless it runs. Its command line must name a file below `home`."""
        if self.pid(name):
            return
        for folder in ("pid", "log"):
            (self.home / folder).mkdir(parents=True, exist_ok=True)
        with (self.home / "log" / name).open("ab") as log:
            process = subprocess.Popen(
                self.inside(*command), stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.home,
                start_new_session=True, env={**os.environ, **(env or {})},
            )  # fmt: skip
        (self.home / "pid" / name).write_text(str(process.pid))

    def stop(self, name: str, *, seconds: float = 20, hard: bool = False) -> None:
        """Stop a program; `hard` kills it without a warning, as a machine that loses its power."""
        if not (pid := self.pid(name)):
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL if hard else signal.SIGTERM)
        deadline = time.monotonic() + seconds
        while self.pid(name):
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
            if time.monotonic() > deadline:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.1)

    def names(self) -> list[str]:
        """Return the programs that were started at some time."""
        return sorted(path.name for path in (self.home / "pid").glob("*"))


def of_folder(folder: Path) -> Iterator[int]:
    """Yield the ids of all processes whose command line names a file below a folder."""
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"{folder}/".encode() in (path / "cmdline").read_bytes() and int(path.name) != os.getpid():
                yield int(path.name)


def of_groups(prefix: str) -> Iterator[int]:
    """Yield the ids of all processes in control groups whose top-level name starts with a prefix."""
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if any(f":/{prefix}" in line for line in (path / "cgroup").read_text().splitlines()):
                yield int(path.name)


def kill(pids: Iterator[int], seconds: float = 20) -> None:
    """Kill processes by their ids and wait until they are gone."""
    left = set(pids)
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + seconds
    while left and time.monotonic() < deadline:
        for pid in left:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        left = {pid for pid in left if _is_running(pid)}
        time.sleep(0.05)


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def memory(pids: Iterator[int]) -> int:
    """Return the memory of processes in bytes; what several of them share counts once."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
    return total
