"""Hostile and normal clients at once, through the deployed edge: nginx on loopback in front of a running API.

    python server3-serving/bench/soak.py --api http://127.0.0.1:8000 --seconds 600

First the normal clients alone, then both. Exits with 1 if the 99th percentile of a normal `/predict` is above
three times its quiet value, if a normal request fails, if the API restarts, or if its memory grows. The
figures mean something only on a machine that does nothing else. Needs nginx and the standard library.
"""

import argparse
import contextlib
import gzip
import http.client
import json
import os
import random
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

CHECKOUT = Path(__file__).resolve().parents[2]
EDGE = CHECKOUT / "server3-serving/deploy/edge/edge.conf"
COMMON = CHECKOUT / "ansible/manifests/edge/common.conf"
MAIN = """
daemon off;
pid {home}/nginx.pid;
error_log {home}/error.log;
events {{}}
http {{
  access_log off;
  client_body_temp_path {home}/body; proxy_temp_path {home}/proxy; fastcgi_temp_path {home}/fastcgi;
  uwsgi_temp_path {home}/uwsgi; scgi_temp_path {home}/scgi;
  map $host $domain {{ default ""; }}
  {common}
  {edge}
}}
"""
SLOWER = 3.0
"""How many times its quiet value the 99th percentile may reach."""
GROWTH_BYTES = 64 * 2**20
"""Memory that caches may still take after the first tenth of the soak."""
RATE = 20.0
"""Requests per second of one normal client."""

Talk = Callable[["Target", random.Random], None]


@dataclass(frozen=True)
class Target:
    """The edge's port, a valid patient, and the token of the API, if it asks for one."""

    port: int
    patient: dict[str, Any]
    token: str | None

    def head(self, path: str, length: int, *more: str) -> bytes:
        lines = [f"POST {path} HTTP/1.1", "host: a", f"content-length: {length}", *more]
        if self.token:
            lines.append(f"authorization: Bearer {self.token}")
        return ("\r\n".join([*lines, "content-type: application/json"]) + "\r\n\r\n").encode()

    def send(self, *parts: bytes, pause: float = 0.0) -> None:
        """Send parts over a connection of their own, and read what comes back until it closes, for 15 s."""
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", self.port), 15) as connection,
        ):
            for part in parts:
                connection.sendall(part)
                time.sleep(pause)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65_536):
                pass


def _keys(count: int) -> bytes:
    return ("{" + ",".join(f'"k{number}":1' for number in range(count)) + ',"k0":1}').encode()


def _body(path: str, content: bytes, *headers: str) -> Talk:
    return lambda target, _: target.send(
        target.head(path, len(content), "connection: close", *headers), content
    )


def _patient_later(target: Target, rng: random.Random) -> None:
    body = json.dumps(target.patient).encode()
    cut = rng.randrange(len(body))
    target.send(target.head("/predict", len(body), "connection: close"), body[:cut], body[cut:], pause=2)


def _trickled(target: Target, _: random.Random) -> None:
    target.send(target.head("/predict_batch", 10_000), *[b"x"] * 30, pause=0.4)


def _slow_headers(target: Target, _: random.Random) -> None:
    target.send(b"POST /predict HTTP/1.1\r\nhost: a\r\n", *[b"x-slow: 1\r\n"] * 20, pause=0.5)


def _long_headers(target: Target, _: random.Random) -> None:
    lines = (b"x-%d: %b\r\n" % (number, b"a" * 7_000) for number in range(2_000))
    target.send(b"GET /health/live HTTP/1.1\r\nhost: a\r\n", *lines)


def _garbage(target: Target, rng: random.Random) -> None:
    target.send(rng.randbytes(2_000), b"\r\n\r\n")


def _explanations(target: Target, _: random.Random) -> None:
    body = json.dumps(target.patient).encode()
    target.send(target.head("/explain?samples=256", len(body), "connection: close"), body)


def _unread_file(target: Target, _: random.Random) -> None:
    names, values = ",".join(target.patient), ",".join(map(str, target.patient.values()))
    body = (names + "\n" + f"{values}\n" * 20_000).encode()
    head = target.head("/predict_batch", len(body)).replace(b"application/json", b"text/csv")
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", target.port), 15) as connection:
        connection.sendall(head + body)
        connection.recv(100)


def _expects(target: Target, _: random.Random) -> None:
    target.send(target.head("/predict", 100, "expect: 100-continue"), b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")


HOSTILE: dict[str, Talk] = {
    "7,200 keys, one of them twice": _body("/predict", _keys(7_200)),
    "an outcome of 600,000 keys": _body("/outcomes", _keys(600_000)),
    "a list of one endless patient": _body("/predict_batch", b"[" + _keys(600_000) + b"]"),
    "9 MB for one patient": _body("/predict", b" " * 9_000_000),
    "a gzip body": _body("/predict", gzip.compress(b"{}" * 1_000), "content-encoding: gzip"),
    "100,000 brackets": _body("/predict_batch", b"[" * 100_000),
    "a reload": _body("/reload_model", b""),
    "a body that comes late": _patient_later,
    "a trickled body": _trickled,
    "slow headers": _slow_headers,
    "14 MB of headers": _long_headers,
    "bytes that are not HTTP": _garbage,
    "explanations": _explanations,
    "a large file whose answer nobody reads": _unread_file,
    "Expect, and another request instead of the body": _expects,
}


@dataclass
class Clients:
    """Threads that send until they are stopped."""

    target: Target
    stop: threading.Event = field(default_factory=threading.Event)
    seconds: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    sent: Counter[str] = field(default_factory=Counter)

    def normal(self) -> None:
        body = json.dumps(self.target.patient).encode()
        headers = {"content-type": "application/json"}
        if self.target.token:
            headers["authorization"] = f"Bearer {self.target.token}"
        connection = http.client.HTTPConnection("127.0.0.1", self.target.port, timeout=30)
        while not self.stop.is_set():
            began = time.perf_counter()
            try:
                connection.request("POST", "/predict", body, headers)
                with connection.getresponse() as answer:
                    answer.read()
                    self.statuses[str(answer.status)] += 1
            except (OSError, http.client.HTTPException) as error:
                self.statuses[type(error).__name__] += 1
                connection.close()
            took = time.perf_counter() - began
            self.seconds.append(took)
            self.stop.wait(max(0.0, 1 / RATE - took))
        connection.close()

    def hostile(self, seed: int) -> None:
        rng = random.Random(seed)  # noqa: S311 - not a secret
        while not self.stop.is_set():
            name = rng.choice(list(HOSTILE))
            HOSTILE[name](self.target, rng)
            self.sent[name] += 1

    def run(self, seconds: float, *, normal: int, hostile: int) -> None:
        threads = [threading.Thread(target=self.normal) for _ in range(normal)]
        threads += [threading.Thread(target=self.hostile, args=(seed,)) for seed in range(hostile)]
        for thread in threads:
            thread.start()
        time.sleep(seconds)
        self.stop.set()
        for thread in threads:
            thread.join()


def p99(seconds: list[float]) -> float:
    """Return the 99th percentile in milliseconds."""
    return statistics.quantiles(seconds, n=100)[98] * 1_000


def figures(api: str) -> dict[str, float]:
    """Return the API's start and memory, as its own metrics have them."""
    with urllib.request.urlopen(f"{api}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    wanted = {"process_start_time_seconds", "process_resident_memory_bytes"}
    found = {
        name: float(value) for name, _, value in (line.rpartition(" ") for line in lines) if name in wanted
    }
    if found.keys() != wanted:
        raise SystemExit(
            f"soak: {api}/metrics lacks {', '.join(sorted(wanted - found.keys()))}: start one worker"
        )
    return found


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@contextlib.contextmanager
def edge(api: str) -> Iterator[int]:
    """Run nginx with the deployed configuration, without TLS, in front of the API; yield its port."""
    nginx = shutil.which("nginx", path=f"/usr/sbin:{os.environ['PATH']}")
    if nginx is None:
        raise SystemExit("soak: nginx is not installed")
    port = _free_port()
    common = re.sub(r"(?m)^(ssl_\w+|include|error_page) .*$", "", COMMON.read_text())
    text = EDGE.read_text().replace("listen 30080 ssl", f"listen 127.0.0.1:{port}")
    text = text.replace('"api$domain:8000"', f'"{urlsplit(api).netloc}"')
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        # The API takes the edge for one of its clients.
        (Path(folder) / "key.conf").write_text('map $host $edge_key { default ""; }\n')
        text = text.replace("/etc/readmission/login", folder)
        whole = MAIN.format(home=folder, common=common, edge=text)
        whole = re.sub(r"listen \d+( ssl)?;", lambda _: f"listen 127.0.0.1:{_free_port()};", whole)
        (Path(folder) / "nginx.conf").write_text(whole)
        process = subprocess.Popen([nginx, "-p", folder, "-c", f"{folder}/nginx.conf"])
        try:
            _wait(port, process)
            yield port
        finally:
            process.terminate()
            process.wait(timeout=30)


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(200):
        if process.poll() is not None:
            raise SystemExit("soak: nginx did not start; its message is above")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    raise SystemExit("soak: nginx does not answer")


def soak(options: argparse.Namespace) -> list[str]:
    """Run it, print the figures, and return what was wrong."""
    with urllib.request.urlopen(f"{options.api}/model/schema") as answer:
        patient = json.load(answer)["examples"][0]["patient"]
    with edge(options.api) as port:
        target = Target(port, patient, options.token)
        quiet = Clients(target)
        quiet.run(options.quiet, normal=options.normal, hostile=0)
        before = figures(options.api)
        warm = Clients(target)
        warm.run(options.seconds / 10, normal=options.normal, hostile=options.hostile)
        settled = figures(options.api)
        mixed = Clients(target)
        mixed.run(options.seconds * 0.9, normal=options.normal, hostile=options.hostile)
        after = figures(options.api)
    mixed.seconds += warm.seconds
    mixed.statuses += warm.statuses
    mixed.sent += warm.sent
    grown = after["process_resident_memory_bytes"] - settled["process_resident_memory_bytes"]
    print(f"quiet: {len(quiet.seconds)} requests, p99 {p99(quiet.seconds):.1f} ms, {dict(quiet.statuses)}")
    print(f"mixed: {len(mixed.seconds)} requests, p99 {p99(mixed.seconds):.1f} ms, {dict(mixed.statuses)}")
    print(f"hostile: {sum(mixed.sent.values())} attempts, memory {grown / 2**20:+.1f} MiB")
    for name, count in mixed.sent.most_common():
        print(f"  {count:6} {name}")
    wrong = []
    if p99(mixed.seconds) > SLOWER * p99(quiet.seconds):
        wrong.append(f"p99 is above {SLOWER:.0f} times its quiet value")
    if quiet.statuses.keys() | mixed.statuses.keys() != {"200"}:
        wrong.append("normal requests failed")
    if after["process_start_time_seconds"] != before["process_start_time_seconds"]:
        wrong.append("the API restarted")
    if grown > GROWTH_BYTES:
        wrong.append("memory grows")
    return wrong


def main() -> int:
    """Return 0 if all was well."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--api", default="http://127.0.0.1:8000", help="a running API with one worker")
    parser.add_argument("--token", help="its token, if it asks for one")
    parser.add_argument("--seconds", type=float, default=600, help="of hostile and normal clients together")
    parser.add_argument("--quiet", type=float, default=60, help="seconds of the normal clients alone")
    parser.add_argument("--normal", type=int, default=4, help="normal clients")
    parser.add_argument("--hostile", type=int, default=12, help="hostile clients")
    wrong = soak(parser.parse_args())
    for line in wrong:
        print(f"soak: {line}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
