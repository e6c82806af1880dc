"""What a scanner would look for at every address of the edges: headers, logins, limits, versions of TLS."""

import base64
import contextlib
import importlib.util
import json
import socket
import ssl
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from manifests.support.kustomize import CHECKOUT, SERVERS
from support.edge import KUBELET, LOGIN, Edge, Names, files_of, need_nginx

SECRETS = "ansible/roles/secrets/filter_plugins/site_secrets.py"
API, PAGES, PROMETHEUS = 30080, 30081, 30090
GUARDED = {(PAGES, "/"), (PAGES, "/_stcore/stream"), (PAGES, "/static/x.js"), (PROMETHEUS, "/"),
           (PROMETHEUS, "/api/v1/query"), (API, "/metrics")}  # fmt: skip
OPEN = {(PAGES, "/_stcore/health"), (PROMETHEUS, "/-/healthy"), (API, "/health/ready"), (API, "/model")}
LOGINS = {
    "server1-data": [(30080, "/auth/token"), (30080, "/auth/login"), (30088, "/login")],
    "server2-tracking": [(30002, "/api/v1/login")],
    "server3-serving": [(30030, "/login"), (30009, "/login")],
}


class Backend(BaseHTTPRequestHandler):
    """Any service behind an edge; it sends headers that the edge must replace."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        self.rfile.read(length)
        self.send_response(200)
        for name, value in {
            "X-Frame-Options": "ALLOWALL",
            "X-Powered-By": "PHP/5",
            "Server": "old/1.0",
        }.items():
            self.send_header(name, value)
        if self.path == "/own-policy":
            self.send_header("Content-Security-Policy", "default-src 'none'")
        told = f"{self.path} {self.headers.get('X-Forwarded-For')}".encode()
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    def do_POST(self) -> None:
        self.do_GET()

    def do_DELETE(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def edges(tmp_path_factory):
    need_nginx()
    backend = ThreadingHTTPServer(("127.0.0.1", 0), Backend)
    Thread(target=backend.serve_forever, daemon=True).start()
    names = Names()
    names.address = "127.0.0.1"
    ports = dict.fromkeys((8080, 8888, 5000, 9000, 9001, 8000, 8501, 8089, 9090, 3000), backend.server_port)
    with contextlib.ExitStack() as stack:
        stack.callback(backend.server_close)
        stack.callback(backend.shutdown)
        found = {}
        for server in SERVERS:
            found[server] = Edge(tmp_path_factory.mktemp("edge"), files_of(server), names, ports)
            stack.callback(found[server].stop)
        for edge in found.values():
            edge.until(KUBELET, (200, "ok\n"))
        yield found


def hardened(headers):
    assert headers["strict-transport-security"] == "max-age=31536000"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "SAMEORIGIN"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["server"] == "nginx"
    assert "x-powered-by" not in headers


@pytest.mark.parametrize("server", SERVERS)
def test_every_answer_of_every_address_has_the_headers(edges, server):
    edge = edges[server]
    for port in sorted(set(edge.ports) - {KUBELET}):
        for method, path in (("GET", "/"), ("GET", "/%00"), ("DELETE", "/missing"), ("GET", "/minio/admin")):
            for login in ({}, LOGIN):
                status, headers, _ = edge.ask(port, path, method, login)
                hardened(headers)
                policy = headers["content-security-policy"]
                assert "object-src 'none'" in policy, (port, status)
                assert "frame-ancestors 'self'" in policy, (port, status)


def test_a_policy_of_the_page_itself_holds(edges):
    _, headers, _ = edges["server1-data"].ask(30088, "/own-policy")
    assert headers["content-security-policy"] == "default-src 'none'"


@pytest.mark.parametrize(("port", "path"), sorted(GUARDED))
def test_pages_and_metrics_ask_for_a_login(edges, port, path):
    edge = edges["server3-serving"]
    wrong = {"Authorization": "Basic b3BlcmF0b3I6d3Jvbmc="}
    for headers in ({}, wrong, {"Authorization": "Bearer x"}):
        status, answered, _ = edge.ask(port, path, headers=headers)
        assert (status, answered["www-authenticate"]) == (401, 'Basic realm="readmission platform"')
    assert edge.ask(port, path, headers=LOGIN)[0] == 200


def test_the_file_of_the_play_lets_its_people_in(edges):
    spec = importlib.util.spec_from_file_location("site_secrets", CHECKOUT / SECRETS)
    site_secrets = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(site_secrets)
    site = site_secrets.complete_secrets({}, site_secrets.user_plan(["ada", "grace"]))
    file = site_secrets.htpasswd(site, ["ada", "grace"])
    assert file == site_secrets.htpasswd(site, ["ada", "grace"])
    edge = edges["server3-serving"]
    with edge.users.open("a") as users:
        users.write(file)
    for name, password, status in (
        ("ada", site["page_user_ada"], 200),
        ("grace", site["page_user_grace"], 200),
        ("ada", site["page_user_grace"], 401),
        ("nobody", site["page_user_ada"], 401),
    ):
        word = base64.b64encode(f"{name}:{password}".encode()).decode()
        assert edge.ask(PAGES, "/", headers={"Authorization": f"Basic {word}"})[0] == status


@pytest.mark.parametrize(("port", "path"), sorted(OPEN))
def test_probes_need_no_login(edges, port, path):
    assert edges["server3-serving"].ask(port, path)[0] == 200


@pytest.mark.parametrize(
    ("server", "port", "path"), [(name, *one) for name in SERVERS for one in LOGINS[name]]
)
def test_a_password_is_not_guessed_by_trying(edges, server, port, path):
    edge = edges[server]
    statuses = [edge.ask(port, path, "POST", body=b"x")[0] for _ in range(25)]
    assert 429 in statuses
    # Who is logged in goes on.
    assert edge.ask(port, "/", headers=LOGIN)[0] == 200


def test_one_client_that_sends_without_end_is_slowed_down_alone(tmp_path, edges):
    files = files_of("server3-serving")
    config = files["edge-config"]["edge.conf"]
    slow = config.replace("rate=500r/s", "rate=1r/s").replace("burst=1000", "burst=5")
    assert slow != config
    files["edge-config"]["edge.conf"] = slow
    names = Names()
    names.address = "127.0.0.1"
    edge = Edge(tmp_path, files, names, edges["server3-serving"].backends)
    try:
        edge.until(KUBELET, (200, "ok\n"))
        greedy, modest = ({"Authorization": f"Bearer {name}"} for name in ("greedy", "modest"))
        answers = [edge.ask(API, "/predict", "POST", greedy, b"{}") for _ in range(12)]
        assert edge.ask(API, "/predict", "POST", modest, b"{}")[0] == 200
    finally:
        edge.stop()
    assert {status for status, _, _ in answers} == {200, 429}
    _, headers, body = next(answer for answer in answers if answer[0] == 429)
    hardened(headers)
    assert (json.loads(body)["code"], headers["retry-after"]) == ("too_many_requests", "1")


def test_the_address_of_the_client_is_the_edges_own_word(edges):
    _, _, told = edges["server3-serving"].ask(API, "/a", headers={"X-Forwarded-For": "6.6.6.6"})
    assert told == "/a 127.0.0.1"


@pytest.mark.parametrize("server", SERVERS)
def test_old_versions_of_tls_are_refused(edges, server):
    edge = edges[server]
    for port in sorted(set(edge.ports) - {KUBELET}):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
        with (
            socket.create_connection(("127.0.0.1", edge.ports[port]), timeout=20) as plain,
            pytest.raises((ssl.SSLError, ConnectionError)),
        ):
            context.wrap_socket(plain)
