"""What the badge says of an API that answers, but not with what the registry asks for."""

import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from readmission_ui import header
from readmission_ui.api_client import ApiClient
from readmission_ui.page import look
from readmission_ui.settings import Language
from readmission_ui.texts import Texts


@pytest.fixture
def serve() -> Iterator[Callable[[str], ApiClient]]:
    """Call it with the result of the last look at the registry for a client of an API that tells it."""
    result = ""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answers = {
                "/health": {"ready": True, "version": "7", "stale": result not in {"loaded", "unchanged"}},
                "/model": {
                    "model": "m",
                    "version": "7",
                    "threshold": 0.2,
                    "synthetic": False,
                    "reload": {"last_result": result},
                },
            }
            body = json.dumps(answers[self.path]).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()

    def client(told: str) -> ApiClient:
        nonlocal result
        result = told
        return ApiClient(f"http://127.0.0.1:{server.server_port}", 10)

    yield client
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("result", "language", "said"),
    [
        ("unreachable", "en", "registry out of reach"),
        ("unreachable", "es", "registro fuera de alcance"),
        ("refused", "en", "new version refused"),
        ("refused_before", "es", "versión nueva rechazada"),
        ("unset", "es", "ninguna versión tiene el alias"),
        ("failed", "en", "last look at the registry failed"),
        ("of a newer API", "es", "la última consulta al registro falló"),
    ],
)
def test_each_trouble_with_the_registry_has_its_own_words(serve, result: str, language: Language, said: str):
    label, colour, _ = header.state(look(serve(result)), Texts(language))
    assert label.split(" · ")[2:] == [said]
    assert colour == "orange"


def test_a_look_that_ended_well_is_no_trouble(serve):
    label, colour, _ = header.state(look(serve("unchanged")), Texts("en"))
    assert (label, colour) == ("API ready · version 7", "green")
