"""The server of the shared files: a real nginx with the configuration that is deployed."""

import contextlib
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Self

import httpx

from server3.api.support.tracking import CHECKOUT, free_port

CONFIG = CHECKOUT / "server3-serving/deploy/shared-files/shared-files.conf"


class SharedFilesServer:
    """Runs until the end of its `with` block; `stop` and `start` may be called in it."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.root = folder / "files"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True)
        deployed = CONFIG.read_text()
        for wanted, here in (
            ("listen 8080;", f"listen 127.0.0.1:{self.port};"),
            ("/srv/files", str(self.root)),
            ("/srv/incoming", str(folder / "incoming")),
        ):
            assert deployed.count(wanted) == 1
            deployed = deployed.replace(wanted, here)
        (folder / "nginx.conf").write_text(
            f"daemon off;\nuser root;\npid {folder}/nginx.pid;\nerror_log {folder}/error.log;\nevents {{}}\n"
            f"http {{\n{deployed}\n}}\n"
        )

    def start(self) -> Self:
        self._process = subprocess.Popen(
            [
                shutil.which("nginx") or "/usr/sbin/nginx",
                "-c",
                self._folder / "nginx.conf",
                "-p",
                self._folder,
            ]
        )
        end = time.monotonic() + 20
        while time.monotonic() < end and self._process.poll() is None:
            with contextlib.suppress(httpx.TransportError):
                assert httpx.get(f"{self.url}/health").status_code == 200
                return self
            time.sleep(0.05)
        raise AssertionError((self._folder / "error.log").read_text())

    def stop(self) -> None:
        if self._process and self._process.poll() is None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(timeout=20)

    def slices(self) -> list[Path]:
        return sorted(self.root.glob("spool/waiting/*"))

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
