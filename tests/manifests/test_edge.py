"""The edge's own nginx configuration, run by a real nginx in front of backends that come, go and move."""

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
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from manifests.support.kustomize import SERVERS
from manifests.support.objects import of_kind, plain

KUBELET = 8081
"""The port that only the kubelet asks, without TLS."""
MAIN = """
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


@contextlib.contextmanager
def backend(address: str, port: int) -> Iterator[None]:
    """Answer every request at this address with the address."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(f"{address} {self.path}".encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer((address, port), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield
    server.shutdown()
    server.server_close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


def certificate(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "edge")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(hours=1))
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    (folder / "tls.crt").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "tls.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )


class Edge:
    """A server's edge on free ports: `start.sh` with its configuration and a nameserver of the test's own."""

    def __init__(self, home: Path, files: dict[str, dict[str, str]], names: Names) -> None:
        self.ports: dict[int, int] = {}
        self.backends: dict[int, int] = {}
        (home / "conf.d").mkdir()
        certificate(home)
        for name, text in files["edge-config"].items():
            moved = text.replace("/tmp/", f"{home}/").replace("/etc/readmission/tls", str(home))  # noqa: S108
            moved = re.sub(r"listen (\d+)", lambda m: f"listen {self._moved(self.ports, m[1])}", moved)
            moved = re.sub(r"\$domain:(\d+)", lambda m: f"$domain:{self._moved(self.backends, m[1])}", moved)
            (home / "conf.d" / name).write_text(moved)
        (home / "nginx.conf").write_text(MAIN.format(home=home))
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

    @staticmethod
    def _moved(known: dict[int, int], port: str) -> int:
        return known.setdefault(int(port), free_port())

    def get(self, port: int) -> tuple[int, str]:
        """Return status and body of a page at a port of the manifests."""
        context = ssl.create_default_context(cafile=self._home / "tls.crt")
        context.check_hostname = False
        at = ("127.0.0.1", self.ports[port])
        connection = (
            http.client.HTTPConnection(*at, timeout=10)
            if port == KUBELET
            else http.client.HTTPSConnection(*at, timeout=10, context=context)
        )
        with contextlib.closing(connection):
            connection.request("GET", "/health?a=1")
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def get_without_tls(self, port: int) -> tuple[int, str]:
        """Return status and `Location` of the answer to plain HTTP."""
        with contextlib.closing(
            http.client.HTTPConnection("127.0.0.1", self.ports[port], timeout=10)
        ) as asked:
            asked.request("GET", "/health?a=1", headers={"Host": "edge:1"})
            answer = asked.getresponse()
            return answer.status, answer.headers.get("Location", "")

    def until(self, port: int, wanted: tuple[int, str]) -> None:
        """Wait until a page answers so; fail with what it answers instead."""
        deadline = time.monotonic() + 30
        found: tuple[int, str] | OSError = (0, "")
        while time.monotonic() < deadline:
            assert self._process.poll() is None, (self._home / "error.log").read_text()
            try:
                found = self.get(port)
            except OSError as error:
                found = error
            if found == wanted:
                return
            time.sleep(0.2)
        pytest.fail(f"port {port} answers {found}, not {wanted}")

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=10)


@pytest.fixture(scope="module")
def _nginx():
    if shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:" + os.environ["PATH"]) is None:
        message = "nginx is missing (Debian: apt-get install nginx-light)"
        if os.environ.get("CI"):
            pytest.fail(message, pytrace=False)
        pytest.skip(message)


@pytest.mark.usefixtures("_nginx")
@pytest.mark.parametrize("server", SERVERS)
def test_a_backend_that_is_missing_or_moves_stops_no_edge(server, deployed, tmp_path):
    files = {
        plain(one["metadata"]["name"]): one["data"]
        for one in of_kind(deployed(server), "ConfigMap")
        if plain(one["metadata"]["name"]).startswith("edge-")
    }
    names = Names()
    edge = Edge(tmp_path, files, names)
    try:
        # No Service is there yet: the edge runs all the same and says so.
        edge.until(KUBELET, (200, "ok\n"))
        doors = sorted(set(edge.ports) - {KUBELET})
        assert {edge.get(port)[0] for port in doors} == {502}
        assert {edge.get_without_tls(port) for port in doors} == {(308, "https://edge:1/health?a=1")}
        with contextlib.ExitStack() as stack:
            for address in ("127.0.0.2", "127.0.0.3"):
                for port in edge.backends.values():
                    stack.enter_context(backend(address, port))
            # It comes, and then moves, as after a release that replaces the Service.
            for address in ("127.0.0.2", "127.0.0.3"):
                names.address = address
                for port in doors:
                    edge.until(port, (200, f"{address} /health?a=1"))
    finally:
        edge.stop()
    # A pod's resolver would add the domain; nginx asks for the full name.
    assert all(name.endswith(".site.svc.cluster.local") for name in names.asked)
