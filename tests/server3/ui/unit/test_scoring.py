"""Scoring a file against a server that is busy, breaks off or answers nonsense."""

from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from readmission_ui import scoring
from readmission_ui.api_client import ApiClient
from readmission_ui.errors import ApiAwayError, BusyError, RefusedError, UnexpectedAnswerError
from readmission_ui.patients_csv import PatientsFile
from readmission_ui.schema import Schema

SCHEMA = Schema.parse(
    {"schema_version": "1.0", "fields": [{"name": "age", "kind": "integer"}], "threshold": 0.2}
)
FILE = PatientsFile(("bed", "age"), (("B1", "4"), ("B2", "5")))
BUSY = (503, b'{"status":503,"code":"overloaded","message":"Try again."}')
GOOD = (200, b"row,probability,class,error,code\r\n1,0.25,1,,\r\n2,,,age: too old,out_of_range\r\n")

Answers = list[tuple[int, bytes]]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Answers], tuple[ApiClient, list[bytes]]]]:
    """Call it with the answers to give, one a request; it returns a client and what the server was sent."""
    monkeypatch.setattr(scoring, "WAIT_SECONDS", 0.01)
    servers = []

    def start(answers: Answers) -> tuple[ApiClient, list[bytes]]:
        sent: list[bytes] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                sent.append(self.rfile.read(int(self.headers["content-length"])))
                if not answers:
                    self.close_connection = True
                    return
                status, body = answers.pop(0)
                self.send_response(status)
                self.send_header("x-model-version", "7")
                self.send_header("x-threshold", "0.2")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        server = HTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        Thread(target=server.serve_forever, daemon=True).start()
        return ApiClient(f"http://127.0.0.1:{server.server_port}", 10), sent

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def score(client: ApiClient, file: PatientsFile = FILE) -> tuple[scoring.Scored, ...]:
    return scoring.score(client, file, SCHEMA, progress=lambda _: None)


def test_only_the_models_fields_are_sent(serve):
    client, sent = serve([GOOD])
    first, second = score(client)
    assert sent == [b"age\r\n4\r\n5\r\n"]
    assert (first.answer.probability, first.answer.flagged, first.version) == (0.25, True, "7")
    assert second.answer.problem().field == "age"
    assert second.answer.problem().code == "out_of_range"


def test_a_busy_api_is_asked_again(serve):
    client, sent = serve([BUSY, BUSY, GOOD])
    assert len(score(client)) == 2
    assert len(sent) == 3


def test_an_api_that_stays_busy_is_told_of(serve):
    client, sent = serve([BUSY] * scoring.ATTEMPTS)
    with pytest.raises(BusyError):
        score(client)
    assert len(sent) == scoring.ATTEMPTS


def test_a_row_cut_short_is_refused_here_and_the_others_keep_their_numbers(serve):
    client, sent = serve([GOOD])
    file = PatientsFile(("bed", "age"), (("B1", "4"), ("B2",), ("B3", "5")))
    rows = score(client, file)
    assert sent == [b"age\r\n4\r\n5\r\n"]
    assert [row.row for row in rows] == [1, 2, 3]
    assert [row.answer.code for row in rows] == ["", "wrong_length", "out_of_range"]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ((200, b"row,probability,class,error,code\r\n1,0.25,1,,\r\n"), UnexpectedAnswerError),
        ((200, b"<html>"), UnexpectedAnswerError),
        ((200, b"row,probability,class,error,code\r\n1,much,1,,\r\n2,0.1,0,,\r\n"), UnexpectedAnswerError),
        ((500, b"oops"), UnexpectedAnswerError),
        ((422, b'{"status":422,"code":"invalid_csv","message":"No."}'), RefusedError),
    ],
)
def test_an_answer_that_is_not_to_the_file_is_an_error(serve, answer, error):
    client, _ = serve([answer])
    with pytest.raises(error):
        score(client)


def test_an_api_that_breaks_off_is_away(serve):
    client, _ = serve([])
    with pytest.raises(ApiAwayError):
        score(client)
