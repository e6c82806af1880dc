"""A Docker daemon of the test's own: its state in one folder, the firewall untouched, all gone at the end."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

PROGRAM = "/usr/bin/docker"
"""Debian's: another one on PATH may lack BuildKit."""


class DockerUnavailableError(Exception):
    """There is no Docker here; the message says what to install."""


class Docker:
    """A running daemon and the way to call it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.host = f"unix://{folder / 'docker.sock'}"

    def start(self) -> None:
        """Start the daemon, or take the one that runs in this folder."""
        if not Path(PROGRAM).exists() or shutil.which("dockerd") is None:
            raise DockerUnavailableError("docker is missing (Debian: apt-get install docker.io containerd)")
        if self._pid() is None:
            self.folder.mkdir(parents=True, exist_ok=True)
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
            }
            settings.write_text(json.dumps(known))
            with (self.folder / "dockerd.log").open("ab") as log:
                subprocess.Popen(["dockerd", "--config-file", settings], stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while subprocess.run(self.command("version"), capture_output=True, check=False).returncode:
            if time.monotonic() > deadline:
                raise DockerUnavailableError(f"dockerd does not start; see {self.folder / 'dockerd.log'}")
            time.sleep(0.2)

    def stop(self) -> None:
        """Remove the containers, stop the daemon and what it mounted, and remove its folder."""
        for container in self.run("ps", "--all", "--quiet").split():
            self.run("rm", "--force", "--volumes", container)
        pid = self._pid()
        if pid is not None:
            os.kill(pid, signal.SIGTERM)
            deadline = time.monotonic() + 60
            while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)
                time.sleep(0.1)
        shutil.rmtree(self.folder)

    def run(
        self, *arguments: str | Path, env: Mapping[str, str] | None = None, stdin: Path | None = None
    ) -> str:
        """Call docker; give what it prints. A failure is an AssertionError with Docker's words."""
        with stdin.open("rb") if stdin else contextlib.nullcontext(subprocess.DEVNULL) as source:
            done = subprocess.run(
                self.command(*arguments),
                env={**os.environ, "DOCKER_BUILDKIT": "1", **(env or {})},
                stdin=source,
                capture_output=True,
                text=True,
                check=False,
            )
        assert done.returncode == 0, (
            f"docker {' '.join(map(str, arguments[:3]))}: {(done.stderr + done.stdout)[-3000:]}"
        )
        return done.stdout.strip()

    def inspect(self, name: str) -> dict[str, object]:
        """Return all that Docker knows of a container or an image."""
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
