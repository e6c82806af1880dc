"""Hostile bodies: each gets a 4xx with the common body, and the service keeps running."""

import json
import random
import socket

import pytest

PATHS = ("/predict", "/predict_batch", "/explain")
JSON = "application/json"


def bodies(patient):
    """Return names and bytes of the bodies that are posted to each path as JSON."""
    whole = json.dumps(patient)
    yield "empty", b""
    yield "spaces", b"   "
    yield "NUL", b"\0"
    yield "NULs", b"\0" * 1000
    yield "NUL in a value", json.dumps(patient | {"age": "[70\0-80)"}).encode()
    yield "raw NUL in a value", whole.replace("[", "\0[", 1).encode()
    yield "NUL in a name", json.dumps(patient | {"a\0ge": 1}).encode()
    for number in ("1" * 400, "-" + "9" * 50, "1e400", "1E+9999", "0x10", "01", "+1", "1.", ".5", "--1"):
        yield (
            f"number {number[:12]}",
            whole.replace('"time_in_hospital": ', f'"time_in_hospital": {number}, "x": ').encode(),
        )
    yield "very long number", b'{"time_in_hospital": ' + b"1" * 50_000 + b"}"
    for word in ("NaN", "Infinity", "-Infinity", "nan", "undefined", "None", "True"):
        yield (
            f"word {word}",
            whole.replace('"time_in_hospital": ', f'"time_in_hospital": {word}, "x": ').encode(),
        )
    for opening in ("[", '{"a":', "[[{"):
        yield f"deep {opening}", opening.encode() * 15_000
        yield f"deep in a field {opening}", (whole[:-1] + ', "age": ' + opening * 10_000).encode()
    yield "closed deep list", b"[" * 20_000 + b"]" * 20_000
    yield "key twice", (whole[:-1] + ', "age": "[70-80)"}').encode()
    yield "key twice, escaped", (whole[:-1] + ', "\\u0061ge": "[70-80)"}').encode()
    yield "key hundred times", b'{"age":"[70-80)"' + b',"age":"[70-80)"' * 100 + b"}"
    yield "prototype", json.dumps(patient | {"__proto__": {"a": 1}}).encode()
    yield "lone surrogate", whole.replace('"[', '"\\ud800[', 1).encode()
    yield "lone low surrogate", whole.replace('"[', '"\\udfff[', 1).encode()
    yield "surrogate name", (whole[:-1] + ', "\\udead": 1}').encode()
    yield "encoded surrogate", whole.replace('"[', '"X[', 1).encode().replace(b"X", b"\xed\xa0\x80", 1)
    yield "bytes that are no text", b"\xff\xfe\xfd" * 10
    yield "overlong encoding", whole.encode().replace(b'"', b"\xc0\xa2", 1)
    yield "truncated character", whole.replace("[", "é[", 1).encode()[:-1].replace(b"\xa9", b"", 1)
    for encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig", "cp037"):
        yield f"in {encoding}", whole.encode(encoding)
    yield "latin-1", json.dumps(patient | {"age": "é"}, ensure_ascii=False).encode("latin-1")
    yield "cut off", whole[:-1].encode()
    yield "cut in a value", whole[: len(whole) // 2].encode()
    yield "two objects", (whole + whole).encode()
    yield "two lines", (whole + "\n" + whole).encode()
    yield "trailing comma", (whole[:-1] + ",}").encode()
    yield "single quotes", whole.replace('"', "'").encode()
    yield "comment", (whole[:-1] + "/* */}").encode()
    yield from wrong_patients(patient)
    rng = random.Random(20140101)  # noqa: S311 - noise, the same each time
    for number in range(8):
        noise = bytearray(whole.encode())
        for _ in range(30):
            noise[rng.randrange(len(noise))] = rng.randrange(256)
        yield f"noise {number}", bytes(noise)


def wrong_patients(patient):
    yield "a string", b'"patient"'
    yield "null", b"null"
    yield "a list of lists", b"[[[]]]"
    yield "an XML document", b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'
    yield "a pickle", b"\x80\x04\x95\x0c\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x94."
    yield "SQL", json.dumps(patient | {"age": "'; DROP TABLE predictions; --"}).encode()
    yield "a template", json.dumps(patient | {"race": "{{7*7}}${jndi:ldap://x}"}).encode()
    yield "a path", json.dumps(patient | {"diag_1": "../../etc/passwd"}).encode()
    yield "a very long name", json.dumps(patient | {"a" * 50_000: 1}).encode()
    yield "a very long value", json.dumps(patient | {"age": "a" * 50_000}).encode()
    yield "many names", json.dumps({f"f{number}": 1 for number in range(3_000)}).encode()
    yield "regular expression bomb", json.dumps(patient | {"diag_1": "1" * 30_000 + "!"}).encode()
    yield "digits of another script", json.dumps(patient | {"diag_1": "٤٢٨"}).encode()
    for value in (True, False, [], {}, "3", 3.5, None, -1, 2**63, -(2**63) - 1, 1e300):
        yield f"stay {value!r}"[:30], json.dumps(patient | {"time_in_hospital": value}).encode()


def test_every_hostile_body_is_refused(service, patient):
    count = 0
    for path in PATHS:
        for name, body in bodies(patient):
            answer = service.http.post(path, content=body, headers={"content-type": JSON})
            assert 400 <= answer.status_code < 500, (path, name, answer.status_code)
            assert answer.headers["content-type"] == "application/problem+json", (path, name)
            told = answer.json()
            assert told["code"] in {
                "bad_json",
                "bad_encoding",
                "invalid_patient",
                "invalid_batch",
                "body_too_large",
            }, (path, name)
            assert len(told["message"]) < 400, (path, name)
            count += 1
    assert count >= 200
    assert service.http.post("/predict", json=patient).status_code == 200


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain",
        "application/xml",
        "multipart/form-data; boundary=x",
        "application/jsonp",
        "application/json; charset=utf-16",
        "application/json; charset=latin-1",
        "application/json; charset=\xff",
        "application/x-www-form-urlencoded",
    ],
)
@pytest.mark.parametrize("path", PATHS)
def test_another_content_type_is_refused(service, patient, path, content_type):
    answer = service.http.post(
        path, content=json.dumps(patient), headers={"content-type": content_type.encode("latin-1")}
    )
    assert (answer.status_code, answer.json()["code"]) == (415, "wrong_content_type")


@pytest.mark.parametrize(
    "content_type",
    ["application/json; charset=UTF-8", "Application/JSON", 'application/json;charset="utf-8"'],
)
def test_the_right_content_type_has_spellings(service, patient, content_type):
    answer = service.http.post(
        "/predict", content=json.dumps(patient), headers={"content-type": content_type}
    )
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("path", "size"),
    [
        ("/predict", 10_000_000),
        ("/explain", 10_000_000),
        ("/predict_batch", 10_000_000),
        ("/predict", 65_537),
    ],
)
def test_a_body_that_is_too_long_is_refused(service, path, size):
    answer = service.http.post(path, content=b" " * size, headers={"content-type": JSON})
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


def test_a_long_body_without_a_length_is_refused_too(service):
    def parts():
        for _ in range(100):
            yield b" " * 10_000

    answer = service.http.post("/predict", content=parts(), headers={"content-type": JSON})
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


def csv_files(patient):
    names, values = ",".join(patient), ",".join(map(str, patient.values()))
    yield b""
    yield b"\n\n\n"
    yield b"\0\0"
    yield f"{names}\n{values}\0".encode()
    yield names.encode("utf-16")
    yield b"\xff\xfe"
    yield f"{names}\n".encode() + b"\xe9" * 10
    yield f"{names},{names}\n{values},{values}".encode()
    yield f"{values}\n{names}".encode()
    yield names.replace(",", ";").encode()
    yield b'"' + names.encode()
    yield b"<html><body>login</body></html>"
    yield b"a" * 200_000
    yield b",".join([b"a"] * 50_000)


def test_every_hostile_file_is_refused(service, patient):
    for number, file in enumerate(csv_files(patient)):
        answer = service.http.post("/predict_batch", content=file, headers={"content-type": "text/csv"})
        assert answer.status_code in {400, 422}, number
        assert answer.json()["code"] in {"invalid_csv", "bad_encoding"}, number


def raw(service, request, seconds=5):
    """Send bytes over a plain connection and return everything received until it is closed or quiet."""
    with socket.create_connection(("127.0.0.1", service.port), timeout=seconds) as connection:
        connection.sendall(request)
        answer = b""
        while True:
            try:
                part = connection.recv(65_536)
            except TimeoutError:
                return answer
            if not part:
                return answer
            answer += part


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GARBAGE\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nhost: a\r\ncontent-length: -5\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nabcde",
        b"POST /predict HTTP/1.1\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nZZ\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nhost: a\r\ncontent-length: 99999999999999999999\r\n\r\n",
    ],
)
def test_bytes_that_are_not_http_get_an_answer(service, patient, request_bytes):
    answer = raw(service, request_bytes, seconds=2)
    assert answer.startswith(b"HTTP/1.1 4"), answer[:100]
    assert service.http.post("/predict", json=patient).status_code == 200


def test_nothing_of_this_was_the_servers_fault(service):
    text = service.http.get("/metrics").text
    assert 'status="500"' not in text
    assert service.metric("prediction_errors_total", kind="internal") == 0
    assert service.metric("prediction_errors_total", kind="bad_json") > 0
    assert "Traceback" not in service.log()
