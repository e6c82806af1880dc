"""One patient over connections of every kind: pipelined, closing, chunked, HTTP/1.0, `Expect`."""

import json
import re
import socket

import pytest

PREDICT = b"POST /predict HTTP/1.%d\r\nhost: a\r\ncontent-type: application/json\r\n"


@pytest.fixture
def connection(service):
    with socket.create_connection(("127.0.0.1", service.port), timeout=20) as connection:
        yield connection


def answers(connection, count):
    """Read a number of responses: their heads in lower case, and their bodies."""
    found, text = [], b""
    while len(found) < count:
        part = connection.recv(65_536)
        assert part, text
        text += part
        while match := re.match(rb"(.*?)\r\n\r\n", text, re.DOTALL):
            head = match[1].lower()
            length = int(re.search(rb"content-length: (\d+)", head)[1]) if b"content-length" in head else 0
            if len(text) < match.end() + length:
                break
            found.append((head, text[match.end() : match.end() + length]))
            text = text[match.end() + length :]
    return found


def with_length(patient, more=b"", minor=1):
    body = json.dumps(patient).encode()
    return PREDICT % minor + more + b"content-length: %d\r\n\r\n%b" % (len(body), body)


def test_requests_one_behind_the_other_are_answered_in_order(connection, versions):
    exam = versions.exam(versions.one)[:30]
    connection.sendall(b"".join(with_length(patient) for patient, _ in exam))
    for (head, body), (_, expected) in zip(answers(connection, 30), exam, strict=True):
        assert head.startswith(b"http/1.1 200 ok")
        assert json.loads(body)["probability"] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("minor", "more"), [(1, b"connection: close\r\n"), (0, b"")])
def test_a_connection_that_is_to_close_closes(connection, patient, minor, more):
    connection.sendall(with_length(patient, more, minor))
    ((head, _),) = answers(connection, 1)
    assert b"connection: close" in head
    assert connection.recv(1) == b""


def test_a_body_may_come_in_pieces_and_chunks(connection, patient):
    body = json.dumps(patient).encode()
    pieces = [
        PREDICT % 1 + b"content-length: %d\r\n\r\n" % len(body),
        body[:100],
        body[100:],
        PREDICT % 1 + b"transfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (len(body), body),
        b"0\r\n\r\n",
    ]
    for piece in pieces:
        connection.sendall(piece)
    one, two = answers(connection, 2)
    assert json.loads(one[1])["probability"] == json.loads(two[1])["probability"]


def test_a_client_that_asks_first_is_told_to_go_on(connection, patient):
    head, _, body = with_length(patient, b"expect: 100-continue\r\n").partition(b"\r\n\r\n")
    connection.sendall(head + b"\r\n\r\n")
    assert answers(connection, 1)[0][0].startswith(b"http/1.1 100 ")
    connection.sendall(body)
    assert answers(connection, 1)[0][0].startswith(b"http/1.1 200 ")


@pytest.mark.parametrize("path", [b"/predict", b"/predict_batch", b"/nothing"])
def test_a_client_that_asks_first_and_is_refused_loses_no_request(service, patient, path):
    """The client keeps its body: its next request on that connection must not be read as the body."""
    refused = (
        b"POST %b HTTP/1.1\r\nhost: a\r\ncontent-type: text/plain\r\ncontent-length: 2000\r\n"
        b"expect: 100-continue\r\n\r\n" % path
    )
    with socket.create_connection(("127.0.0.1", service.port), timeout=20) as connection:
        connection.sendall(refused)
        ((head, _),) = answers(connection, 1)
        assert head.startswith((b"http/1.1 415 ", b"http/1.1 404 "))
        assert b"connection: close" in head
        assert connection.recv(1) == b""
    with socket.create_connection(("127.0.0.1", service.port), timeout=20) as connection:
        connection.sendall(with_length(patient))
        assert answers(connection, 1)[0][0].startswith(b"http/1.1 200 ")
