"""What the contract adds to an answer: intervals, and warnings of values that contradict each other."""

import asyncio
import csv
import io
import json
from types import SimpleNamespace

import httpx
import numpy as np
import pytest

from readmission_api.app import create_app
from readmission_api.errors import ModelRefusedError
from readmission_api.predictor import schema as input_schema
from readmission_api.predictor.remarks import Intervals
from readmission_api.settings import ApiSettings
from server3.api.conftest import load_folder, schema_of

NOT_CHANGED = "No diabetes drug was prescribed, but the diabetes drugs were changed."
DRUG_GIVEN = "No diabetes drug was prescribed, but at least one drug is listed as given."
CSV = {"content-type": "text/csv"}


@pytest.fixture(scope="module")
def app(ruled, tmp_path_factory):
    folder = tmp_path_factory.mktemp("app")
    app = create_app(ApiSettings(state_dir=folder, tracking_uri="http://127.0.0.1:9"))
    app.parts.store.serving = SimpleNamespace(predictor=load_folder(ruled))
    return app


@pytest.fixture
def send(app):
    def post(path, content, headers=None):
        async def request():
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://a") as client:
                body = content if isinstance(content, str) else json.dumps(content)
                given = {"content-type": "application/json"} | (headers or {})
                return await client.post(path, content=body, headers=given)

        answer = asyncio.run(request())
        assert answer.status_code == 200, answer.text
        return answer

    return post


@pytest.fixture
def consistent(patient):
    drugs = {name: "No" for name, value in patient.items() if value in {"Steady", "Up", "Down"}}
    return patient | drugs | {"diabetesMed": "No", "change": "No"}


def as_csv(patients):
    out = io.StringIO()
    writer = csv.DictWriter(out, list(patients[0]))
    writer.writeheader()
    writer.writerows(patients)
    return out.getvalue()


@pytest.mark.parametrize(
    ("changes", "warnings"),
    [
        ({}, []),
        ({"change": "Ch"}, [NOT_CHANGED, "The diabetes drugs were changed, but none is listed as given."]),
        ({"insulin": "Steady"}, [DRUG_GIVEN]),
        ({"diabetesMed": "Yes", "insulin": "Steady"}, []),
        ({"diabetesMed": "Yes"}, ["A diabetes drug was prescribed, but none is listed as given."]),
        (
            {"insulin": "Up", "diabetesMed": "Yes"},
            ["The diabetes drugs were not changed, but a dose went up or down."],
        ),
    ],
)
def test_contradictions_are_warned_of_on_every_route(send, consistent, changes, warnings):
    patient = consistent | changes
    assert send("/predict", patient).json().get("warnings", []) == warnings
    assert send("/explain?samples=2", patient).json().get("warnings", []) == warnings
    first, second = send("/predict_batch", [consistent, patient]).json()["predictions"]
    assert (first.get("warnings", []), second.get("warnings", [])) == ([], warnings)
    rows = list(csv.DictReader(io.StringIO(send("/predict_batch", as_csv([consistent, patient]), CSV).text)))
    assert [row["warnings"] for row in rows] == ["", " ".join(warnings)]


def test_an_interval_comes_with_every_risk(send, patient, consistent, ruled):
    table = schema_of(ruled)["intervals"]
    single = send("/predict", patient).json()
    low, high = (np.interp(single["probability"], table["risk"], table[end]) for end in ("low", "high"))
    assert single["interval"] == {
        "low": pytest.approx(low, abs=1e-8),
        "high": pytest.approx(high, abs=1e-8),
        "level": 0.95,
    }
    assert send("/explain?samples=2", patient).json()["interval"] == single["interval"]
    assert send("/predict_batch", [patient]).json()["predictions"][0]["interval"] == single["interval"]
    text = send("/predict_batch", as_csv([patient, consistent | {"age": "old"}]), CSV).text
    assert text.splitlines()[0] == "row,probability,class,low,high,warnings,error,code"
    good, bad = csv.DictReader(io.StringIO(text))
    assert (float(good["low"]), float(good["high"])) == (
        single["interval"]["low"],
        single["interval"]["high"],
    )
    assert (bad["low"], bad["high"], bad["warnings"], bad["code"]) == ("", "", "", "unknown_level")


def test_the_table_is_interpolated_and_contains_the_risk(ruled):
    schema = input_schema.parse((ruled / "input_schema.json").read_bytes())
    intervals = Intervals(schema.intervals)
    table = schema.intervals
    for risk in [0.0, 1e-9, *np.linspace(0, 1, 997).tolist(), *table.risk, 1.0]:
        low, high = intervals.of(risk)
        assert 0 <= low <= risk <= high <= 1
        if table.risk[0] <= risk <= table.risk[-1]:
            assert low == pytest.approx(np.interp(risk, table.risk, table.low), abs=1e-12)
            assert high == pytest.approx(np.interp(risk, table.risk, table.high), abs=1e-12)


@pytest.mark.parametrize(
    "change",
    [
        {"intervals": {"level": 0.95, "risk": [0.1, 0.1], "low": [0, 0], "high": [1, 1]}},
        {"intervals": {"level": 0.95, "risk": [0.1, 0.2], "low": [0], "high": [1, 1]}},
        {"intervals": {"level": 0.95, "risk": [0.1, 0.2], "low": [0.5, 0], "high": [0.4, 1]}},
        {"contradictions": [{"when": [{"fields": ["blood"], "levels": ["A"]}], "message": {"en": "x"}}]},
    ],
)
def test_a_contract_that_cannot_be_right_refuses_the_version(ruled, change):
    with pytest.raises(ModelRefusedError):
        input_schema.parse(json.dumps(schema_of(ruled) | change).encode())
