"""A server's edge: its own nginx configuration, run by a real nginx on free ports of loopback."""

import contextlib
import http.client
import os
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
KUBELET = 8081
"""The port that only the kubelet asks, without TLS."""
# The workers read the file of passwords, which is in a folder of the user who runs the tests.
MAIN = """
{user}
pid {home}/nginx.pid;
error_log {home}/error.log;
events {{}}
http {{
  access_log off;
  client_body_temp_path {home}/body; proxy_temp_path {home}/proxy; fastcgi_temp_path {home}/fastcgi;
  uwsgi_temp_path {home}/uwsgi; scgi_temp_path {home}/scgi;
  include {home}/conf.d/*.conf;
}}
"""


EDGE_KEY = "key-of-the-edge"
USER, PASSWORD = "operator", "password-of-the-operator"
LOGIN = {"Authorization": "Basic " + b64encode(f"{USER}:{PASSWORD}".encode()).decode()}
"""Of a person who may open the pages."""


class Names:
    """A DNS server that gives one address for every name, or none."""

    def __init__(self) -> None:
        self.address = ""
        self.asked: set[str] = set()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            query, client = self._socket.recvfrom(512)
            end = query.index(b"\0", 12) + 5
            labels, at = [], 12
            while query[at]:
                labels.append(query[at + 1 : at + 1 + query[at]].decode())
                at += query[at] + 1
            self.asked.add(".".join(labels))
            if self.address:
                answer = b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4" + socket.inet_aton(self.address)
                head = b"\x81\x80\0\1\0\1\0\0\0\0"
            else:
                answer, head = b"", b"\x81\x83\0\1\0\0\0\0\0\0"
            self._socket.sendto(query[:2] + head + query[12:end] + answer, client)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


def certificate(folder: Path) -> None:
    """Write a certificate that signs itself, good for a day."""
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-subj", "/CN=edge", "-days", "1", "-keyout", folder / "tls.key", "-out", folder / "tls.crt",
        ],
        check=True,
        capture_output=True,
    )  # fmt: skip


class Edge:
    """A server's edge on free ports: `start.sh` with its configuration and a nameserver of the test's own."""

    def __init__(
        self,
        home: Path,
        files: dict[str, dict[str, str]],
        names: Names,
        backends: Mapping[int, int] | None = None,
    ) -> None:
        self.ports: dict[int, int] = {}
        self.backends: dict[int, int] = dict(backends or {})
        (home / "conf.d").mkdir()
        certificate(home)
        (home / "key.conf").write_text(f'map $host $edge_key {{ default "{EDGE_KEY}"; }}\n')
        (home / "users.htpasswd").write_text(f"{USER}:{{PLAIN}}{PASSWORD}\n")
        for name, text in files["edge-config"].items():
            moved = text.replace("/tmp/", f"{home}/")  # noqa: S108
            moved = re.sub(r"/etc/readmission/(tls|login)", str(home), moved)
            moved = re.sub(r"listen (\d+)", lambda m: f"listen {self._moved(self.ports, m[1])}", moved)
            moved = re.sub(r"\$domain:(\d+)", lambda m: f"$domain:{self._moved(self.backends, m[1])}", moved)
            (home / "conf.d" / name).write_text(moved)
        (home / "nginx.conf").write_text(
            MAIN.format(home=home, user="user root;" if os.geteuid() == 0 else "")
        )
        resolv = home / "resolv.conf"
        resolv.write_text(
            f"search site.svc.cluster.local svc.cluster.local\nnameserver 127.0.0.1:{names.port}\n"
        )
        program = home / "bin" / "nginx"
        program.parent.mkdir()
        nginx = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:" + os.environ["PATH"])
        program.write_text(f'#!/bin/sh\nexec {nginx} -p {home} -c {home}/nginx.conf "$@"\n')
        program.chmod(0o755)
        script = home / "start.sh"
        script.write_text(files["edge-start"]["start.sh"].replace("/tmp/", f"{home}/"))  # noqa: S108
        self._process = subprocess.Popen(
            ["sh", script, resolv], env={**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"}
        )
        self._home = home
        self.authority = home / "tls.crt"
        self.users = home / "users.htpasswd"

    @staticmethod
    def _moved(known: dict[int, int], port: str) -> int:
        return known.setdefault(int(port), free_port())

    def ask(
        self,
        port: int,
        path: str,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> tuple[int, dict[str, str], str]:
        """Return status, headers (names in lower case) and body of a page at a port of the manifests."""
        context = ssl.create_default_context(cafile=self.authority)
        context.check_hostname = False
        at = ("127.0.0.1", self.ports[port])
        connection = (
            http.client.HTTPConnection(*at, timeout=10)
            if port == KUBELET
            else http.client.HTTPSConnection(*at, timeout=10, context=context)
        )
        with contextlib.closing(connection):
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, found, answer.read().decode()

    def get(self, port: int, headers: Mapping[str, str] | None = None) -> tuple[int, str]:
        """Return status and body of a page at a port of the manifests."""
        status, _, body = self.ask(port, "/health?a=1", headers=headers)
        return status, body

    def get_without_tls(self, port: int) -> tuple[int, str]:
        """Return status and `Location` of the answer to plain HTTP."""
        with contextlib.closing(
            http.client.HTTPConnection("127.0.0.1", self.ports[port], timeout=10)
        ) as asked:
            asked.request("GET", "/health?a=1", headers={"Host": "edge:1"})
            answer = asked.getresponse()
            return answer.status, answer.headers.get("Location", "")

    def until(self, port: int, wanted: tuple[int, str], headers: Mapping[str, str] | None = None) -> None:
        """Wait until a page answers so; fail with what it answers instead."""
        deadline = time.monotonic() + 30
        found: tuple[int, str] | OSError = (0, "")
        while time.monotonic() < deadline:
            assert self._process.poll() is None, (self._home / "error.log").read_text()
            try:
                found = self.get(port, headers)
            except OSError as error:
                found = error
            if found == wanted:
                return
            time.sleep(0.2)
        pytest.fail(f"port {port} answers {found}, not {wanted}")

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=10)


def files_of(server: str) -> dict[str, dict[str, str]]:
    """Return the ConfigMaps of a server's edge, each as its files."""
    shared, own = CHECKOUT / "ansible/manifests/edge", CHECKOUT / server / "deploy/edge"
    return {
        "edge-config": {
            "common.conf": (shared / "common.conf").read_text(),
            "edge.conf": (own / "edge.conf").read_text(),
        },
        "edge-start": {"start.sh": (shared / "start.sh").read_text()},
    }


def need_nginx() -> None:
    """Skip the test without nginx; in CI its absence is a failure."""
    if shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:" + os.environ["PATH"]) is None:
        message = "nginx is missing (Debian: apt-get install nginx-light)"
        if os.environ.get("CI"):
            pytest.fail(message, pytrace=False)
        pytest.skip(message)
