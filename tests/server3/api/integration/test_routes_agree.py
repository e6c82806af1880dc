"""Odd patients through every route: the same ones are accepted, with the same risks and the same words."""

import asyncio
import csv
import io
import json
import random
import re
from collections import Counter
from types import SimpleNamespace

import httpx
import pytest

from readmission_api.app import create_app
from readmission_api.settings import ApiSettings
from server3.api.conftest import load_folder

PATIENTS = 5_000
LONG = "x" * 300
ODD_TEXTS = (
    "NULL", "None", "nan", "N/A", "NA", "-", "?", "??", "unknown", "Other ", " Other", "other", "OTHER", "0",
    "00", "01", "1 ", " 1", "1.0", "1.00", "1,0", "1.5", "1e0", "+1", "-1", "\u0665", "\u096b", "\uff11",
    "1\u00a0", "1\u200b", "true", "a,b", 'say "no"', "two\nlines", "tab\there", "=1+1", "'1", "\u00c9",
    "\U0001f600", LONG, "[70-80]", "70-80", "[70 - 80)", "70", "female", "F", "no", "yes", "STEADY",
)  # fmt: skip
ODD_NUMBERS = (
    0, 1, 2, 14, 15, -1, 99, 150, 151, 10**9, 10**12, 2**63, 1.0, 3.0, 0.5, 14.0, 1e3, -0.0, 2.000001,
)  # fmt: skip
ICD9 = (
    "250", "250.0", "250.00", "250.6", "250.60", "250.600", "250.", ".250", "25060", "428", "428.0", "428.00",
    "428,0", "8.45", "008.45", "08.45", "8", "008", "0", "000", "V27", "V27.0", "V270", "V58.61", "v58",
    "E885", "E885.9", "E885.99", "E119", "E11.9", "E785", "E78.5", "E039", "I10", "I50.9", "J44.1", "N18",
    "Z79.4", "0250", "1000", "999.99", "?", "E000.0", "E030", "\u0664\u0662\u0668", "428 ", " 428",
    "428/1", "ICD9:428",
)  # fmt: skip
DIGITS = re.compile(r"[+-]?[0-9]+(\.0+)?", re.ASCII)


def odd(rng, field, value):
    """Return a value as some client may write it; None leaves the field out."""
    if rng.random() < 0.06:
        return None
    if field.kind == "integer":
        # JSON has numbers for what a file has to write as digits.
        return rng.choice(
            [*ODD_NUMBERS, rng.choice([text for text in ODD_TEXTS if not DIGITS.fullmatch(text)])]
        )
    if field.kind == "icd9":
        return rng.choice([*ICD9, rng.choice(ODD_TEXTS)])
    level = rng.choice(field.levels).value
    # A field is left out by an empty cell in a file, and by no member in JSON.
    shorter = level[:-1] or "~"
    other = rng.choice([level.lower(), level.upper(), f" {level}", f"{level} ", shorter, f"{level}.0"])
    numbers = [float(level), int(level)] if level.isdigit() else []
    return rng.choice([level, level, other, rng.choice(ODD_TEXTS), *numbers, rng.choice(ODD_NUMBERS), value])


def odd_patients(predictor, examples):
    rng = random.Random(296)  # noqa: S311 - not a secret
    fields = predictor.patients.fields
    for _ in range(PATIENTS):
        patient = dict(rng.choice(examples))
        for field in rng.sample(fields, 12):
            if field.levels:
                patient[field.name] = rng.choice(field.levels).value
        for field in rng.sample(fields, rng.choice([0, 0, 1, 1, 2, 4])):
            value = odd(rng, field, patient[field.name])
            if value is None:
                del patient[field.name]
            else:
                patient[field.name] = value
        yield patient


def told(problem):
    return problem.get("field"), problem["message"]


@pytest.fixture(scope="module")
def predictor(ruled):
    return load_folder(ruled)


@pytest.fixture(scope="module")
def answers(predictor, tmp_path_factory):
    """The patients, and what each route answers: a dictionary if it accepts one, or a list of problems."""
    settings = ApiSettings(state_dir=tmp_path_factory.mktemp("app"), tracking_uri="http://127.0.0.1:9")
    app = create_app(settings)
    app.parts.store.serving = SimpleNamespace(predictor=predictor)
    patients = list(odd_patients(predictor, [example.patient for example in predictor.schema.examples]))

    async def ask():
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://a", timeout=60) as http:
            return (
                [await one(http, patient) for patient in patients],
                await as_lists(http, patients),
                await as_file(http, patients),
            )

    return patients, *asyncio.run(ask())


async def one(http, patient):
    answer = await http.post("/predict", json=patient)
    assert answer.status_code in {200, 422}, answer.text
    return answer.json() if answer.status_code == 200 else answer.json()["problems"]


async def as_lists(http, patients):
    """Ask in short lists whose problems all fit into an answer, then for all risks in long ones."""
    found = [[] for _ in patients]
    for start in range(0, len(patients), 10):
        answer = await http.post("/predict_batch", json=patients[start : start + 10])
        if answer.status_code != 200:
            problems = answer.json()["problems"]
            assert len(problems) < 100
            for problem in problems:
                found[start + problem["row"]].append(problem)
    good = [index for index, problems in enumerate(found) if not problems]
    answer = await http.post("/predict_batch", json=[patients[index] for index in good])
    for index, prediction in zip(good, answer.json()["predictions"], strict=True):
        found[index] = prediction
    return found


async def as_file(http, patients):
    out = io.StringIO()
    names = list(dict.fromkeys(name for patient in patients for name in patient))
    writer = csv.DictWriter(out, names)
    writer.writeheader()
    writer.writerows(patients)
    answer = await http.post("/predict_batch", content=out.getvalue(), headers={"content-type": "text/csv"})
    assert answer.status_code == 200, answer.text
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [int(row["row"]) for row in rows] == list(range(1, len(patients) + 1))
    return rows


def test_the_same_patients_are_accepted(answers):
    patients, single, listed, filed = answers
    assert len(single) == len(listed) == len(filed) == PATIENTS
    for patient, alone, in_list, line in zip(patients, single, listed, filed, strict=True):
        accepted = isinstance(alone, dict)
        assert isinstance(in_list, dict) == accepted, patient
        assert (line["error"] == "") == accepted, (patient, line)
    # The odd ones are of both kinds, and neither is rare.
    count = Counter(isinstance(alone, dict) for alone in single)
    assert min(count.values()) > PATIENTS / 5


def test_they_get_the_same_risk_interval_and_warnings(answers):
    warned = 0
    for patient, alone, in_list, line in zip(*answers, strict=True):
        if not isinstance(alone, dict):
            continue
        same = ("probability", "class", "interval", "warnings")
        assert {name: alone.get(name) for name in same} == {name: in_list.get(name) for name in same}, patient
        assert float(line["probability"]) == alone["probability"], patient
        assert int(line["class"]) == alone["class"]
        assert (float(line["low"]), float(line["high"])) == (
            alone["interval"]["low"],
            alone["interval"]["high"],
        )
        assert line["warnings"] == " ".join(alone.get("warnings", []))
        warned += bool(line["warnings"])
    assert warned > 100


def test_the_others_are_refused_in_the_same_words(answers):
    codes = Counter()
    for patient, alone, in_list, line in zip(*answers, strict=True):
        if isinstance(alone, dict):
            continue
        assert list(map(told, alone)) == list(map(told, in_list)), patient
        field, message = told(alone[0])
        assert line["error"] == f"{field}: {message}", patient
        # A number is never a text in JSON, and always one in a file.
        if isinstance(patient.get(field), str) or alone[0]["code"] != "wrong_type":
            assert line["code"] == alone[0]["code"], patient
        codes[line["code"]] += 1
        value = patient.get(field)
        if value == LONG:
            assert value not in json.dumps(alone) + json.dumps(in_list) + json.dumps(line)
    assert codes.keys() >= {
        "missing_field",
        "out_of_range",
        "wrong_type",
        "bad_code",
        "unknown_level",
        "outside_cohort",
    }
