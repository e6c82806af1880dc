"""A real HTTP server that misbehaves on request."""

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from readmission_data.dataset import synthetic


@dataclass
class Site:
    """The server's content, and its faults."""

    content: bytes = b""
    ranges: bool = True
    etags: bool = True
    # One entry per response, as long as there are any: bytes after which the connection breaks …
    breaks: list[int] = field(default_factory=list)
    # … and a status sent instead of the content.
    statuses: list[int] = field(default_factory=list)
    # One entry per response: seconds without a byte, halfway.
    stalls: list[float] = field(default_factory=list)
    # The content after the next break.
    replacement: bytes | None = None
    bytes_a_second: int | None = None
    chunked: bool = False
    requests: list[dict[str, str]] = field(default_factory=list)
    url: str = ""

    @property
    def etag(self) -> str:
        return f'"{hashlib.sha256(self.content).hexdigest()[:16]}"'


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "Server"

    def do_GET(self) -> None:
        site = self.server.site
        site.requests.append({"path": self.path, **{k.lower(): v for k, v in self.headers.items()}})
        if self.path.startswith("/moved/"):
            return self._plain(302, {"Location": self.path.removeprefix("/moved")})
        if site.statuses:
            return self._plain(site.statuses.pop(0), {})
        if site.etags and self.headers.get("If-None-Match") == site.etag:
            return self._plain(304, {})
        start = self._start(site)
        if start is None:
            return self._plain(416, {})
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(site.content) - 1}/{len(site.content)}")
        if site.etags:
            self.send_header("ETag", site.etag)
        body = site.content[start:]
        if site.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self._send(site, body)
        return None

    def _start(self, site: Site) -> int | None:
        asked = self.headers.get("Range")
        if not site.ranges or asked is None or self.headers.get("If-Range", site.etag) != site.etag:
            return 0
        start = int(asked.removeprefix("bytes=").rstrip("-"))
        return start if start < len(site.content) else None

    def _send(self, site: Site, body: bytes) -> None:
        end = site.breaks.pop(0) if site.breaks else len(body)
        stall = site.stalls.pop(0) if site.stalls else 0
        step = 16_384
        for position in range(0, min(end, len(body)), step):
            piece = body[position : min(position + step, end)]
            if stall and position >= len(body) // 2:
                time.sleep(stall)
            if site.bytes_a_second:
                time.sleep(len(piece) / site.bytes_a_second)
            try:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if site.chunked else piece)
            except OSError:
                break  # the client gave up first
        if end < len(body):
            self.close_connection = True
            if site.replacement is not None:
                site.content, site.replacement = site.replacement, None
        elif site.chunked:
            self.wfile.write(b"0\r\n\r\n")

    def _plain(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": "0", **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Log nothing, to keep the tests' output clean."""


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, site: Site) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.site = site

    def handle_error(self, *_: object) -> None:
        """Ignore clients that were killed or gave up, as in some tests."""


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    server = Server(site)
    site.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield site
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="session")
def sample_csv(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """2,000 generated encounters: 400 kB."""
    path = tmp_path_factory.mktemp("sample") / "sample.csv"
    synthetic.write(path, 2_000, seed=7)
    return path.read_bytes()
