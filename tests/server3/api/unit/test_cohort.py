"""Patients that the version's cohort excludes are refused with the reason, on every route."""

import json

import msgspec
import pytest

from readmission_api.errors import ModelRefusedError, PatientRefusedError
from readmission_api.predictor import schema as input_schema
from readmission_api.predictor.patients import Patients
from readmission_api.routes.batch import read_rows
from readmission_api.routes.csv_upload import CsvColumns, Header
from server3.api.conftest import schema_of

FIELD = "discharge_disposition_id"
REASON = "The patient died, so no readmission is possible."


@pytest.fixture(scope="module")
def content(versions):
    schema = schema_of(versions.one)
    rule = {"field": FIELD, "levels": ["11", "19"], "reason": {"en": REASON, "es": "Ha fallecido."}}
    return schema | {"cohort": {"version": "1", "exclusions": [rule]}}


@pytest.fixture(scope="module")
def patients(content):
    return Patients(input_schema.parse(json.dumps(content).encode()))


@pytest.mark.parametrize("spelled", ["11", 11, 11.0, "11.0", "19"])
def test_one_patient(patients, patient, spelled):
    with pytest.raises(PatientRefusedError) as caught:
        patients.read(json.dumps(patient | {FIELD: spelled}).encode())
    (problem,) = caught.value.problems
    assert (problem.code, problem.field, problem.message) == ("outside_cohort", FIELD, REASON[:-1])


def test_a_list(patients, patient):
    class Predictor:
        def __init__(self):
            self.patients = patients

    texts = [msgspec.Raw(json.dumps(patient | {FIELD: code})) for code in ("1", "11", "1")]
    found = []
    assert len(read_rows(Predictor(), texts, 0, found, 65_536)) == 2
    assert [(problem.row, problem.code) for problem in found] == [(1, "outside_cohort")]


def test_a_file(patients, patient):
    header = Header(len(patient), tuple(map(list(patient).index, patients.names)), None)
    lines = [[str(value) for value in (patient | {FIELD: code}).values()] for code in ("1", "11", "1")]
    columns = CsvColumns(patients, header)
    for _ in range(2):
        rows, refused = columns.read(lines)
        assert len(rows) == 2
        assert {index: problem.code for index, problem in refused.items()} == {1: "outside_cohort"}


def test_others_are_read_as_before(patients, predictor, patient):
    body = json.dumps(patient).encode()
    assert patients.read(body) == predictor.patients.read(body)


def test_a_rule_for_an_unknown_field_refuses_the_version(content):
    rule = content["cohort"]["exclusions"][0] | {"field": "blood"}
    broken = content | {"cohort": {"version": "1", "exclusions": [rule]}}
    with pytest.raises(ModelRefusedError):
        input_schema.parse(json.dumps(broken).encode())
