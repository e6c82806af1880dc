"""The API behind its edge: nginx with the deployed configuration, without TLS."""

import json
import re
import shutil
import socket
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import httpx
import pytest
import uvicorn

from readmission_api.app import create_app
from readmission_api.model_store.store import Serving
from readmission_api.predictor.explanation import explain
from readmission_api.routes import explain as explain_route
from readmission_api.settings import ApiSettings
from server3.api.support.tracking import CHECKOUT, free_port

SECONDS = 5
"""What the edge's patience of ten seconds is in these tests."""

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


def configuration(home, edge_port, api_port):
    """Return the deployed configuration on ports of this machine."""
    common = (CHECKOUT / "ansible/manifests/edge/common.conf").read_text()
    common = re.sub(r"(?m)^(ssl_\w+|include|error_page) .*$", "", common)
    edge = (CHECKOUT / "server3-serving/deploy/edge/edge.conf").read_text()
    edge = edge.replace("listen 30080 ssl", f"listen 127.0.0.1:{edge_port}")
    edge = edge.replace('"api$domain:8000"', f'"127.0.0.1:{api_port}"').replace("10s;", f"{SECONDS}s;")
    key = home / "key.conf"
    key.write_text('map $host $edge_key { default "key-of-the-edge"; }\n')
    edge = edge.replace("/etc/readmission/login/key.conf", str(key))
    text = MAIN.format(home=home, common=common, edge=edge)
    return re.sub(r"listen \d+( ssl)?;", lambda _: f"listen 127.0.0.1:{free_port()};", text)


@pytest.fixture(scope="module")
def app(tmp_path_factory, predictor):
    app = create_app(
        ApiSettings(state_dir=tmp_path_factory.mktemp("state"), tracking_uri="http://127.0.0.1:9")
    )
    app.parts.store.serving = Serving(predictor, "registry", datetime.now(UTC))
    return app


@pytest.fixture(scope="module")
def edge(tmp_path_factory, app):
    """The port of an nginx in front of the API."""
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/bin")
    assert nginx, "nginx is missing: .ci/system-parts"
    home, port, api_port = tmp_path_factory.mktemp("edge"), free_port(), free_port()
    (home / "nginx.conf").write_text(configuration(home, port, api_port))
    server = uvicorn.Server(uvicorn.Config(app, port=api_port, proxy_headers=False, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    process = subprocess.Popen([nginx, "-p", home, "-c", home / "nginx.conf"])
    end = time.monotonic() + 120
    while True:
        try:
            if httpx.get(f"http://127.0.0.1:{port}/health/live").status_code == 200:
                break
        except httpx.TransportError:
            pass
        assert time.monotonic() < end
        assert process.poll() is None, (home / "error.log").read_text()
        time.sleep(0.1)
    yield port
    process.terminate()
    process.wait(30)
    server.should_exit = True
    thread.join(60)


def talk(port, *parts, pause=0.0, seconds=60):
    """Send parts over a plain connection and return everything received until it closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
        answer = b""
        try:
            for part in parts:
                connection.sendall(part)
                time.sleep(pause)
            while part := connection.recv(65_536):
                answer += part
        except (BrokenPipeError, ConnectionResetError):
            pass
        return answer


def request(patient, *headers, path=b"/predict"):
    body = json.dumps(patient).encode()
    lines = [b"POST %b HTTP/1.1" % path, b"host: a", b"content-type: application/json", *headers]
    return b"\r\n".join([*lines, b"content-length: %d" % len(body), b"", b""]), body


def test_java_offers_http2_and_gets_its_answer(edge, patient):
    head, body = request(
        patient, b"connection: Upgrade, HTTP2-Settings", b"upgrade: h2c", b"http2-settings: AAEAAEAAAAIAAAAB"
    )
    with socket.create_connection(("127.0.0.1", edge), timeout=60) as connection:
        for _ in range(2):
            connection.sendall(head)
            time.sleep(0.05)
            connection.sendall(body)
            assert connection.recv(65_536).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("start", [b"", b"POST /predict HTTP/1.1\r\nhost: a\r\nx-slow: "])
def test_headers_that_do_not_come_are_not_waited_for(edge, start):
    started = time.monotonic()
    talk(edge, start)
    assert time.monotonic() - started < SECONDS * 10


def test_a_body_that_does_not_come_never_reaches_the_api(edge, app, patient):
    head, _ = request(patient, b"x-request-id: never")
    started = time.monotonic()
    assert b" 200 " not in talk(edge, head)
    assert time.monotonic() - started < SECONDS * 10
    assert app.parts.observers.in_flight == 0


def test_long_headers_are_refused_early(edge):
    lines = [b"x-%d: %b\r\n" % (number, b"a" * 7_000) for number in range(2_000)]
    answer = talk(edge, b"GET /health/live HTTP/1.1\r\nhost: a\r\n", *lines)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(("path", "size"), [("/predict", 9_000_000), ("/outcomes", 9_000_000)])
def test_a_body_that_is_too_long_gets_the_one_body(edge, path, size):
    answer = httpx.post(f"http://127.0.0.1:{edge}{path}", content=b" " * size, timeout=60)
    problem = answer.json()
    assert (answer.status_code, problem["status"], problem["code"]) == (413, 413, "body_too_large")
    assert answer.headers["content-type"] == "application/problem+json"
    assert set(problem) == {"title", "status", "detail", "code", "message", "request_id", "problems"}


@pytest.mark.parametrize(
    "garbage", [b"GARBAGE\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\r\n\r\n"]
)
def test_bytes_that_are_not_http_get_the_one_body(edge, garbage):
    answer = talk(edge, garbage)
    assert b'"code":"bad_http"' in answer


def test_one_client_with_many_explanations_leaves_room_for_others(edge, app, patient, monkeypatch):
    may_end = threading.Event()

    def explain_later(*given, **named):
        assert may_end.wait(60)
        return explain(*given, **named)

    monkeypatch.setattr(explain_route, "explain", explain_later)
    url = f"http://127.0.0.1:{edge}/explain?samples=2"
    with ThreadPoolExecutor(12) as pool:
        asked = [pool.submit(httpx.post, url, json=patient, timeout=60) for _ in range(12)]
        end = time.monotonic() + 60
        while sum(future.done() for future in asked) < 4:
            assert time.monotonic() < end
            time.sleep(0.05)
        assert app.parts.observers.in_flight == 8
        assert httpx.post(f"http://127.0.0.1:{edge}/predict", json=patient, timeout=60).status_code == 200
        may_end.set()
        statuses = [future.result().status_code for future in asked]
    assert sorted(statuses) == [200] * 8 + [429] * 4
