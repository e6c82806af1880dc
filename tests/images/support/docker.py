"""A Docker daemon of the tests' own: its state in one folder, the firewall untouched."""

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

PROGRAM = "/usr/bin/docker"
"""Debian's: another one on PATH may lack BuildKit."""
INSECURE = ["127.0.0.0/8", "10.66.0.0/24"]
"""Registries without TLS: this machine's, and those of the clusters that the tests start."""


class DockerUnavailableError(Exception):
    """Docker is not installed; the message says what to install."""


class Docker:
    """A running daemon and its client. A kept folder keeps images and build caches."""

    def __init__(self, folder: Path, *, kept: bool = False) -> None:
        self.folder = folder
        self.kept = kept
        self._lock: TextIO | None = None
        self.host = f"unix://{folder / 'docker.sock'}"

    def start(self) -> None:
        """Start the daemon. Wait for another run that uses a kept folder."""
        if not Path(PROGRAM).exists() or shutil.which("dockerd") is None:
            raise DockerUnavailableError("docker is missing (Debian: apt-get install docker.io containerd)")
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.kept and self._lock is None:
            self._lock = (self.folder / "lock").open("w")
            fcntl.flock(self._lock, fcntl.LOCK_EX)
        if self._pid() is None:
            settings = self.folder / "daemon.json"
            # As on server 2: node ports are carried by a process, so that no rule of the firewall is needed.
            known = {
                "data-root": f"{self.folder}/data",
                "exec-root": f"{self.folder}/exec",
                "pidfile": f"{self.folder}/docker.pid",
                "hosts": [self.host],
                "bridge": "none",
                "iptables": False,
                "ip6tables": False,
                "ip-forward": False,
                # As on server 2, whose own registry has no TLS.
                "insecure-registries": INSECURE,
            }
            settings.write_text(json.dumps(known))
            # Even a test that is killed leaves no daemon behind.
            with_parent = ["setpriv", "--pdeathsig", "SIGTERM"]
            with (self.folder / "dockerd.log").open("ab") as log:
                subprocess.Popen([*with_parent, "dockerd", "--config-file", settings], stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while subprocess.run(self.command("version"), capture_output=True, check=False).returncode:
            if time.monotonic() > deadline:
                raise DockerUnavailableError(f"dockerd does not start; see {self.folder / 'dockerd.log'}")
            time.sleep(0.2)
        self._clear()

    def stop(self) -> None:
        """Remove the containers, and stop the daemon. Unless the folder is kept, have it removed."""
        self._clear()
        pid = self._pid()
        if pid is not None:
            os.kill(pid, signal.SIGTERM)
            deadline = time.monotonic() + 60
            while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)
                time.sleep(0.1)
        for line in Path("/proc/self/mounts").read_text().splitlines():
            # It forgets the host's network, which the builds shared.
            place = line.split()[1]
            if place.startswith(f"{self.folder}/"):
                subprocess.run(["umount", place], check=True)
        if self._lock is not None:
            self._lock.close()
            self._lock = None
        if self.kept:
            return
        # Half a million files, which take longer than the tests that looked at them: nobody waits for it.
        command = ["nice", "-n", "19", "ionice", "-c", "3", "rm", "--recursive", "--force", self.folder]
        subprocess.Popen(command, start_new_session=True)

    def _clear(self) -> None:
        containers = self.run("ps", "--all", "--quiet").split()
        if containers:
            self.run("rm", "--force", "--volumes", *containers)
        self.run("network", "prune", "--force")

    def run(
        self, *arguments: str | Path, env: Mapping[str, str] | None = None, stdin: Path | None = None
    ) -> str:
        """Run docker and return its output. Raise `AssertionError` with Docker's message if it fails."""
        done = self.call(*arguments, env=env, stdin=stdin)
        assert done.returncode == 0, (
            f"docker {' '.join(map(str, arguments[:3]))}: {(done.stderr + done.stdout)[-3000:]}"
        )
        return done.stdout.strip()

    def call(
        self, *arguments: str | Path, env: Mapping[str, str] | None = None, stdin: Path | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """Run docker and ignore the result."""
        with stdin.open("rb") if stdin else contextlib.nullcontext(subprocess.DEVNULL) as source:
            return subprocess.run(
                self.command(*arguments),
                env={**os.environ, "DOCKER_BUILDKIT": "1", **(env or {})},
                stdin=source,
                capture_output=True,
                text=True,
                check=False,
            )

    def inspect(self, name: str) -> dict[str, object]:
        """Return Docker's description of a container or an image."""
        known: dict[str, object] = json.loads(self.run("inspect", name))[0]
        return known

    def command(self, *arguments: str | Path) -> list[str]:
        """Return the command line of a call."""
        return [PROGRAM, "--host", self.host, *map(str, arguments)]

    def _pid(self) -> int | None:
        try:
            pid = int((self.folder / "docker.pid").read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError, ValueError):
            return None
        return pid if str(self.folder).encode() in command else None
