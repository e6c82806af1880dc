"""The edge's own nginx configuration, run by a real nginx in front of backends that come, go and move."""

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from manifests.support.kustomize import SERVERS
from manifests.support.objects import of_kind, plain
from support.edge import KUBELET, LOGIN, Edge, Names, need_nginx


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


# What a request needs to come through: the store's edge wants a signature, which the store checks.
DOORS = {
    ("server2-tracking", 30001): {
        "Authorization": "AWS4-HMAC-SHA256 x",
        "X-Amz-Content-Sha256": "UNSIGNED-PAYLOAD",
    },
    ("server3-serving", 30081): LOGIN,
    ("server3-serving", 30090): LOGIN,
}


@pytest.mark.parametrize("server", SERVERS)
def test_a_backend_that_is_missing_or_moves_stops_no_edge(server, deployed, tmp_path):
    need_nginx()
    files = {
        plain(one["metadata"]["name"]): one["data"]
        for one in of_kind(deployed(server), "ConfigMap")
        if plain(one["metadata"]["name"]).startswith("edge-")
    }
    names = Names()
    edge = Edge(tmp_path, files, names)
    try:
        # No Service exists yet: the edge still runs and reports it.
        edge.until(KUBELET, (200, "ok\n"))
        doors = sorted(set(edge.ports) - {KUBELET})
        assert {edge.get(port, DOORS.get((server, port)))[0] for port in doors} == {502}
        assert {edge.get_without_tls(port) for port in doors} == {(308, "https://edge:1/health?a=1")}
        with contextlib.ExitStack() as stack:
            for address in ("127.0.0.2", "127.0.0.3"):
                for port in edge.backends.values():
                    stack.enter_context(backend(address, port))
            # The Service appears and then moves, as after a release that replaces it.
            for address in ("127.0.0.2", "127.0.0.3"):
                names.address = address
                for port in doors:
                    edge.until(port, (200, f"{address} /health?a=1"), DOORS.get((server, port)))
    finally:
        edge.stop()
    # A pod's resolver would add the domain; nginx must use the full name.
    assert all(name.endswith(".site.svc.cluster.local") for name in names.asked)
