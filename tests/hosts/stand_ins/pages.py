"""Open the node ports of the applied Services: pages with the applied certificate, others without TLS."""

import base64
import contextlib
import json
import socketserver
import ssl
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import yaml

# MySQL and the exporters do not speak HTTPS.
PLAIN = {30306, 30102, 30104, 30105}


# With `paused` or `failed` in this file the site has no model for that reason; without it, it has one.
LOOP = Path("/var/lib/stand-in/loop")
DAGS = "/api/v2/dags/"


def answer(path: str, loop: str) -> tuple[int, dict]:
    """Return the responses of Airflow and the API, as far as `verify` reads them."""
    if path == "/health/ready" and loop:
        return 503, {"status": "not ready", "reason": "there is no model"}
    if path == "/auth/token":
        return 201, {"access_token": "token"}
    if path.startswith(DAGS) and "/dagRuns?" in path:
        state = "failed" if loop == "failed" and "train" in path else "success"
        return 200, {"dag_runs": [{"state": state, "dag_run_id": "scheduled__1", "duration": 9.04}]}
    if path.startswith(DAGS):
        return 200, {"dag_id": path.removeprefix(DAGS), "is_paused": loop == "paused"}
    if path == "/model/schema":
        return 200, {"examples": [{"name": {"en": "A stay"}, "patient": {"time_in_hospital": 3}}]}
    return 200, {}


class Page(BaseHTTPRequestHandler):
    """Answers every request."""

    def do_GET(self):
        self.send(*answer(self.path, LOOP.read_text() if LOOP.exists() else ""))

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/predict" and body == {"time_in_hospital": 3}:
            prediction = {"probability": 0.1234, "class": 0, "model": "best", "version": "1"}
            self.send(200, prediction | {"request_id": self.headers["X-Request-ID"]})
        else:
            self.do_GET()

    def send(self, status, value):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(value).encode())


class Greeting(socketserver.BaseRequestHandler):
    """Accepts a connection and closes it."""

    def handle(self):
        self.request.sendall(b"hello\n")


items = [
    item
    for item in yaml.load_all(Path("/var/lib/stand-in/applied.yaml").read_text(), yaml.CSafeLoader)
    if item
]
secret = next(
    item for item in items if item["kind"] == "Secret" and item["metadata"]["name"].startswith("edge-tls")
)
ports = {
    port["nodePort"]
    for i in items
    if i["kind"] == "Service"
    for port in i["spec"]["ports"]
    if "nodePort" in port
}
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
with contextlib.ExitStack() as stack:
    files = [stack.enter_context(tempfile.NamedTemporaryFile()) for _ in range(2)]
    for file, key in zip(files, ("tls.crt", "tls.key"), strict=True):
        file.write(base64.b64decode(secret["data"][key]))
        file.flush()
    context.load_cert_chain(files[0].name, files[1].name)
socketserver.ThreadingTCPServer.allow_reuse_address = True
for port in ports:
    if port in PLAIN:
        server = socketserver.ThreadingTCPServer(("0.0.0.0", port), Greeting)
    else:
        server = ThreadingHTTPServer(("0.0.0.0", port), Page)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever).start()
