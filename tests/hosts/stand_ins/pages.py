"""Opens the node ports of the applied Services: pages with the applied certificate, the rest plain."""

import base64
import contextlib
import socketserver
import ssl
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import yaml

# MySQL, exporters and the image registry do not speak HTTPS.
PLAIN = {30306, 30102, 30104, 32000}


class Page(BaseHTTPRequestHandler):
    """Answers whatever is asked."""

    def do_GET(self):
        self.send_response(200)
        self.end_headers()


class Greeting(socketserver.BaseRequestHandler):
    """Takes a connection, and ends it."""

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
if '"registry"' in Path("/var/lib/stand-in/microk8s.json").read_text():
    ports.add(32000)
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
