"""HTTP behavior that clients expect, tested on the app itself."""

import asyncio
import gzip
import json
from datetime import UTC, datetime

import httpx
import pytest

from readmission_api.app import create_app
from readmission_api.model_store.store import Serving
from readmission_api.settings import ApiSettings

JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def ask(tmp_path_factory, predictor):
    app = create_app(
        ApiSettings(
            token="open sesame",
            state_dir=tmp_path_factory.mktemp("state"),
            tracking_uri="http://127.0.0.1:9",
            max_upload_bytes=1024,
        )
    )
    app.parts.store.serving = Serving(predictor, "registry", datetime.now(UTC))

    def ask(method, path, **request):
        async def asked():
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://a") as client:
                return await client.request(method, path, **request)

        return asyncio.run(asked())

    return ask


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/health", "/metrics", "/", "/model"])
def test_what_answers_get_answers_head(ask, path):
    head, get = ask("HEAD", path), ask("GET", path)
    assert head.status_code == get.status_code == 200
    assert head.headers["content-type"] == get.headers["content-type"]


def test_head_of_a_route_that_only_takes_posts_is_refused(ask):
    assert ask("HEAD", "/predict").status_code == 405


@pytest.mark.parametrize("path", ["/predict/", "/predict_batch/", "/health/", "/model/"])
def test_a_slash_too_many_is_not_found_and_not_redirected(ask, patient, path):
    answer = ask("POST", path, json=patient, headers={"host": "evil.example"})
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert "location" not in answer.headers


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_case_of_the_scheme_does_not_matter(ask, scheme):
    answer = ask("POST", "/outcomes", json=[], headers={"authorization": f"{scheme} open sesame"})
    assert answer.status_code == 422
    wrong = ask("POST", "/outcomes", json=[], headers={"authorization": f"{scheme} open"})
    assert wrong.status_code == 401


@pytest.mark.parametrize("path", ["/predict", "/predict_batch", "/explain"])
@pytest.mark.parametrize("coding", ["gzip", "br", "gzip, deflate"])
def test_a_compressed_body_is_refused_by_name(ask, patient, path, coding):
    body = gzip.compress(json.dumps(patient).encode())
    answer = ask("POST", path, content=body, headers={**JSON, "content-encoding": coding})
    assert (answer.status_code, answer.json()["code"]) == (415, "wrong_content_encoding")
    assert answer.headers["accept-encoding"] == "identity"


def test_identity_is_no_coding(ask, patient):
    answer = ask("POST", "/predict", json=patient, headers={"content-encoding": "identity"})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [("POST", "/predict", b"{}"), ("POST", "/predict_batch", b"{}"), ("GET", "/no", b""), ("PUT", "/", b"")],
)
def test_a_problem_has_a_title_and_a_detail(ask, method, path, body):
    answer = ask(method, path, content=body, headers=JSON)
    problem = answer.json()
    assert problem["title"] == answer.reason_phrase
    assert problem["status"] == answer.status_code
    assert problem["detail"] == problem["message"] != ""
    assert answer.headers["x-request-id"] == problem["request_id"]


@pytest.mark.parametrize(
    ("path", "many"), [("/predict", False), ("/explain", False), ("/predict_batch", True)]
)
def test_an_answer_carries_the_id_of_its_request(ask, patient, path, many):
    body = [patient] if many else patient
    given = ask("POST", path, json=body, headers={"x-request-id": "ward-7"})
    assert given.headers["x-request-id"] == given.json()["request_id"] == "ward-7"
    made = ask("POST", path, json=body)
    assert made.headers["x-request-id"] == made.json()["request_id"] != ""


def test_an_upload_beyond_the_disk_is_refused_before_it_is_read(ask):
    answer = ask("POST", "/predict_batch", content=b"a" * 2_000, headers={"content-type": "text/csv"})
    assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")


@pytest.mark.parametrize(
    ("file", "wanted"),
    [
        (b"race;gender\n1;2\n", "semicolons"),
        (b"\xef\xbb\xbfrace;gender\n1;2\n", "semicolons"),
        (b"race\tgender\n1\t2\n", "tabs"),
        (b"race|gender\n1|2\n", "vertical bars"),
        (b"sep=;\nrace;gender\n", "sep="),
        (b"\xef\xbb\xbfSEP=,\nrace,gender\n", "sep="),
        (gzip.compress(b"race,gender\n"), "gzip"),
        (b"PK\x03\x04xlsx", "Excel"),
        ("race,gender\n".encode("utf-16"), "UTF-16"),
    ],
)
def test_a_file_of_another_format_is_refused_with_the_reason(ask, file, wanted):
    answer = ask("POST", "/predict_batch", content=file, headers={"content-type": "text/csv"})
    assert answer.status_code in {400, 422}
    assert wanted in answer.json()["detail"]
