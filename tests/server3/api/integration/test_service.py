"""A running service from a client's point of view."""

import json
import re

import pytest

from server3.api.conftest import schema_of
from server3.api.support.tracking import MODEL

JSON = {"content-type": "application/json"}


def test_it_says_what_it_is(service):
    answer = service.http.get("/").json()
    assert answer["service"] == "readmission-api"
    assert answer["model_version"] == "1"
    assert answer["synthetic"] is False
    for link in answer["links"].values():
        assert service.http.get(link).status_code in {200, 405}


def test_it_is_well(service):
    assert service.http.get("/health/live").json() == {"status": "live"}
    assert service.http.get("/health/ready").json() == {"status": "ready", "model": MODEL, "version": "1"}
    assert service.http.get("/health").json() == {
        "live": True,
        "ready": True,
        "model": MODEL,
        "version": "1",
        "reason": None,
        "source": "registry",
        "stale": False,
        "prediction_log": "ok",
        "open": True,
        "audit": "off",
    }


def test_the_model_is_described(service, versions):
    answer = service.http.get("/model").json()
    schema = schema_of(versions.one)
    assert answer["version"] == "1"
    assert answer["dataset"]["kind"] == "uci"
    assert answer["warning"] is None
    assert answer["threshold"] == schema["threshold"]
    assert answer["metrics"] == schema["metrics"]
    assert answer["challenger"] == {"version": "2", "candidate": "lightgbm"}
    assert answer["reload"]["last_result"] in {"loaded", "unchanged"}


def test_the_schema_is_the_versions_file(service, versions):
    answer = service.http.get("/model/schema")
    assert answer.content == (versions.one / "input_schema.json").read_bytes()
    again = service.http.get("/model/schema", headers={"if-none-match": answer.headers["etag"]})
    assert again.status_code == 304


def test_the_card_is_markdown(service):
    answer = service.http.get("/model/card")
    assert answer.headers["content-type"].startswith("text/markdown")
    assert answer.text.startswith("# Model card")


def test_one_patient(service, versions):
    for patient, expected in versions.exam(versions.one)[:50]:
        answer = service.http.post("/predict", json=patient).json()
        assert set(answer) == {"request_id", "model", "version", "threshold", "probability", "class"}
        assert answer["probability"] == pytest.approx(expected, abs=1e-6)
        assert answer["class"] == int(answer["probability"] >= answer["threshold"])


def test_a_request_id_is_taken_over_or_made(service, patient):
    given = service.http.post("/predict", json=patient, headers={"x-request-id": "ward-7.1"}).json()
    assert given["request_id"] == "ward-7.1"
    made = [
        service.http.post("/predict", json=patient, headers={"x-request-id": name}).json()["request_id"]
        for name in ("", "with space", "x" * 65, 'quote"')
    ]
    assert len(set(made)) == 4
    assert all(re.fullmatch(r"[0-9a-f]{16}-[0-9a-f]+", name) for name in made)


def test_a_list_of_patients(service, versions):
    exam = versions.exam(versions.one)
    answer = service.http.post("/predict_batch", json=[patient for patient, _ in exam]).json()
    assert answer["count"] == len(exam)
    for prediction, (_, expected) in zip(answer["predictions"], exam, strict=True):
        assert prediction["probability"] == pytest.approx(expected, abs=1e-6)
        assert prediction["class"] == int(prediction["probability"] >= answer["threshold"])


def test_a_bad_patient_refuses_the_list_and_says_which(service, patient):
    answer = service.http.post("/predict_batch", json=[patient, patient | {"age": "old"}, {}])
    assert answer.status_code == 422
    problems = answer.json()["problems"]
    assert problems[0]["row"] == 1
    assert problems[0]["field"] == "age"
    assert {problem["row"] for problem in problems} == {1, 2}


@pytest.mark.parametrize("body", ["[]", "{}", '"x"', "3", "null"])
def test_what_is_no_list_is_refused(service, body):
    answer = service.http.post("/predict_batch", content=body, headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_batch")


def test_a_list_has_an_end(service):
    answer = service.http.post("/predict_batch", content=b"[" + b"0," * 5_000 + b"0]", headers=JSON)
    assert answer.json()["code"] == "invalid_batch"


def test_a_file(service, versions):
    path = versions.one.with_suffix(".exam.csv")
    lines = path.read_text().splitlines()
    text = "\n".join(line.rpartition(",")[0] for line in lines)
    answer = service.http.post("/predict_batch", content=text, headers={"content-type": "text/csv"})
    assert answer.headers["x-model-version"] == "1"
    header, *rows = answer.text.splitlines()
    assert header == "row,probability,class,error,code"
    exam = versions.exam(versions.one)
    assert len(rows) == len(exam)
    for number, (row, (_, expected)) in enumerate(zip(rows, exam, strict=True), start=1):
        place, probability, _, error, code = row.split(",")
        assert (int(place), error, code) == (number, "", "")
        assert float(probability) == pytest.approx(expected, abs=1e-6)


def test_a_file_as_the_data_set_spells_it(service, patient):
    hyphens = {"glyburide_metformin": "glyburide-metformin"}
    names = [
        "encounter_id",
        "patient_nbr",
        "weight",
        *(hyphens.get(name, name) for name in patient),
        "readmitted",
    ]
    values = ["12", "34", "?", *map(str, patient.values()), "NO"]
    bad = ["13", "34", "?", *map(str, (patient | {"age": "old"}).values()), "NO"]
    text = "\ufeff" + "\r\n".join(",".join(line) for line in (names, values, bad, ["1", "2"])) + "\r\n"
    answer = service.http.post(
        "/predict_batch", content=text.encode(), headers={"content-type": "text/csv; charset=utf-8"}
    )
    header, one, two, three = answer.text.splitlines()
    assert header == "row,encounter_id,probability,class,error,code"
    single = service.http.post("/predict", json=patient).json()
    assert one == f"1,12,{single['probability']:.9g},{single['class']},,"
    assert two.startswith("2,13,,,")
    assert two.endswith(",unknown_level")
    assert "old" not in two
    assert three.endswith(",wrong_length")


def test_a_file_that_breaks_off_keeps_what_came_before(service, patient):
    text = ",".join(patient) + "\n" + ",".join(map(str, patient.values())) + '\n"never closed,1\n'
    answer = service.http.post("/predict_batch", content=text, headers={"content-type": "text/csv"})
    lines = answer.text.splitlines()
    assert lines[1].startswith("1,0.")
    assert lines[2].endswith(",bad_csv")


def test_an_explanation_adds_up(service, patient):
    answer = service.http.post("/explain?samples=32&seed=4", json=patient).json()
    total = sum(one["contribution"] for one in answer["contributions"])
    assert total == pytest.approx(answer["probability"] - answer["reference_probability"], abs=1e-6)
    sizes = [abs(one["contribution"]) for one in answer["contributions"]]
    assert sizes == sorted(sizes, reverse=True)
    assert (
        service.http.post("/explain?samples=32&seed=4", json=patient).json()["contributions"]
        == answer["contributions"]
    )


@pytest.mark.parametrize("query", ["samples=0", "samples=3", "samples=5000", "samples=x", "seed=-1"])
def test_an_explanation_has_bounds(service, patient, query):
    answer = service.http.post(f"/explain?{query}", json=patient)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_parameter")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/predict", 405, "method_not_allowed"),
        ("DELETE", "/model", 405, "method_not_allowed"),
    ],
)
def test_errors_have_one_body(service, method, path, status, code):
    answer = service.http.request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert set(body) == {"title", "status", "detail", "code", "message", "request_id", "problems"}
    assert (body["status"], body["code"]) == (status, code)
    assert body["request_id"] == answer.headers["x-request-id"]


def test_the_document_has_the_fields_and_examples(service, versions):
    document = service.http.get("/openapi.json").json()
    patient = document["components"]["schemas"]["Patient"]
    assert len(patient["properties"]) == 46
    assert patient["properties"]["time_in_hospital"]["maximum"] == 14
    assert patient["additionalProperties"] is False
    content = document["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]
    assert [example["value"] for example in content["examples"].values()] == [
        example["patient"] for example in schema_of(versions.one)["examples"]
    ]
    assert service.http.get("/docs").status_code == 200


def test_no_patient_reaches_the_log(service, patient):
    secret = "TOPSECRET"
    service.http.post("/predict", json=patient | {"age": secret, secret: 1})
    service.http.post("/predict_batch", json=[patient | {"diag_1": secret}])
    service.http.post("/explain", json=patient | {"race": secret})
    service.http.post("/predict", content=json.dumps(patient)[:-5] + secret, headers=JSON)
    text = ",".join(patient) + "\n" + ",".join([secret] * 46)
    answer = service.http.post("/predict_batch", content=text, headers={"content-type": "text/csv"})
    assert secret not in answer.text
    assert secret not in service.log()
