import copy
import json
import math

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from readmission_api.errors import BadEncodingError, BadJsonError, PatientRefusedError
from readmission_api.predictor.patients import Patients
from readmission_api.predictor.schema import Field


@pytest.fixture(scope="module")
def patients(predictor) -> Patients:
    return predictor.patients


def problems_of(patients, body):
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(PatientRefusedError) as caught:
        patients.read(text)
    return caught.value.problems


def test_a_row_follows_the_graphs_order(patients, patient):
    row = patients.read(json.dumps(patient).encode())
    assert row == tuple(patient[name] for name in patients.names)


def test_fields_left_out_count_as_missing_in_training(patients, patient):
    required = {field.name: patient[field.name] for field in patients.fields if field.required}
    row = dict(zip(patients.names, patients.read(json.dumps(required).encode()), strict=True))
    assert row["race"] == row["diag_1"] == row["payer_code"] == "?"
    assert row["max_glu_serum"] == row["A1Cresult"] == "None"
    assert row["insulin"] == row["metformin"] == "No"


@pytest.mark.parametrize(
    ("field", "given", "read"),
    [
        ("race", None, "?"),
        ("race", "?", "?"),
        ("diag_2", None, "?"),
        ("admission_type_id", 3, "3"),
        ("admission_type_id", "3", "3"),
        ("time_in_hospital", 4.0, 4),
        ("time_in_hospital", 14, 14),
        ("diag_1", "V57", "V57"),
        ("diag_1", "250.83", "250.83"),
    ],
)
def test_spellings_of_one_value(patients, patient, field, given, read):
    row = patients.read(json.dumps(patient | {field: given}).encode())
    assert row[patients.names.index(field)] == read


@pytest.mark.parametrize(
    ("field", "given", "code", "kind"),
    [
        ("age", "[70-79)", "unknown_level", "string"),
        ("age", None, "wrong_type", "null"),
        ("age", 70, "wrong_type", "integer"),
        ("age", "?", "unknown_level", "string"),
        ("race", "Martian", "unknown_level", "string"),
        ("race", ["Asian"], "wrong_type", "array"),
        ("race", {"a": 1}, "wrong_type", "object"),
        ("time_in_hospital", 0, "out_of_range", "integer"),
        ("time_in_hospital", 15, "out_of_range", "integer"),
        ("time_in_hospital", 10**30, "out_of_range", "integer"),
        ("time_in_hospital", 3.5, "wrong_type", "number"),
        ("time_in_hospital", "3", "wrong_type", "string"),
        ("time_in_hospital", True, "wrong_type", "boolean"),
        ("admission_type_id", 99, "wrong_type", "integer"),
        ("admission_type_id", 99.0, "wrong_type", "number"),
        ("admission_type_id", 3.5, "wrong_type", "number"),
        ("admission_type_id", "3.5", "unknown_level", "string"),
        ("admission_type_id", "99.0", "unknown_level", "string"),
        ("admission_type_id", "\u0663", "unknown_level", "string"),
        ("admission_type_id", "\uff13", "unknown_level", "string"),
        ("admission_type_id", "\u0663.0", "unknown_level", "string"),
        ("admission_type_id", True, "wrong_type", "boolean"),
        ("diag_1", "abc", "bad_code", "string"),
        ("diag_1", "428\n", "bad_code", "string"),
        ("diag_1", "٤٢٨", "bad_code", "string"),
        ("diag_1", 428, "wrong_type", "integer"),
        ("diag_1", "428.", "bad_code", "string"),
        ("diag_1", "", "bad_code", "string"),
        ("insulin", None, "wrong_type", "null"),
    ],
)
def test_a_wrong_value_is_named_by_its_field_and_kind(patients, patient, field, given, code, kind):
    (problem,) = problems_of(patients, patient | {field: given})
    assert (problem.field, problem.code, problem.given) == (field, code, kind)
    assert problem.allowed


def test_every_problem_is_told_at_once(patients, patient):
    wrong = patient | {"age": "old", "time_in_hospital": 99, "blood": 1}
    del wrong["gender"]
    found = {(problem.field, problem.code) for problem in problems_of(patients, wrong)}
    assert found == {
        ("age", "unknown_level"),
        ("time_in_hospital", "out_of_range"),
        ("blood", "unknown_field"),
        ("gender", "missing_field"),
    }


def test_no_problem_repeats_a_value(patients, patient):
    secrets = {"age": "SECRET-A", "diag_1": "SECRET-B", "time_in_hospital": 987654321, "a secret: 12": 1}
    text = str(problems_of(patients, patient | secrets))
    for secret in ("SECRET", "987654321", "a secret"):
        assert secret not in text


def test_a_key_twice_is_refused(patients, patient):
    text = json.dumps(patient)[:-1] + ', "age": "[10-20)"}'
    (problem,) = problems_of(patients, text.encode())
    assert (problem.field, problem.code) == ("age", "duplicate_field")


def test_a_key_twice_is_refused_where_another_is_missing(patients, patient):
    short = {name: value for name, value in patient.items() if name != "insulin"}
    text = json.dumps(short)[:-1] + ', "age": "[10-20)"}'
    (problem,) = problems_of(patients, text.encode())
    assert (problem.field, problem.code) == ("age", "duplicate_field")


def test_an_escaped_key_twice_is_refused(patients, patient):
    text = json.dumps(patient)[:-1] + ', "\\u0061ge": "[10-20)"}'
    (problem,) = problems_of(patients, text.encode())
    assert problem.code == "duplicate_field"


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b'{"age": NaN}', b"\xef\xbb\xbf{}", b"[" * 100_000, b'{"a":1}x', b"1" * 5_000, b"{'a':1}"],
)
def test_what_is_not_json_is_told_as_such(patients, body):
    with pytest.raises((BadJsonError, PatientRefusedError)) as caught:
        patients.read(body)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("body", [b'{"age": "\xff"}', "{}".encode("utf-16-le")[:1] + b"\xfe"])
def test_bytes_that_are_not_utf8_are_told_as_such(patients, body):
    with pytest.raises((BadEncodingError, BadJsonError)):
        patients.read(body)


@pytest.mark.parametrize("body", [b"[]", b"1", b"null", b'"x"', b"true"])
def test_a_patient_is_an_object(patients, body):
    (problem,) = problems_of(patients, body)
    assert problem.code == "wrong_type"


def values():
    return st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-3, 40),
        st.floats(allow_nan=False, allow_infinity=False),
        st.sampled_from(["?", "1", "No", "None", "Up", "[70-80)", "428", "V57", "250.83", "", "é", "428\n"]),
        st.lists(st.integers(), max_size=1),
    )


def outcome(read, patient):
    try:
        row = read(patient)
    except PatientRefusedError as error:
        return {(problem.field, problem.code) for problem in error.problems}
    return [(type(value), value) for value in row]


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_the_fast_way_and_the_complete_check_agree(patients, patient, data):
    changed = copy.deepcopy(patient)
    for name in data.draw(st.lists(st.sampled_from([*patients.names, "extra"]), max_size=4)):
        if data.draw(st.booleans()):
            changed.pop(name, None)
        else:
            changed[name] = data.draw(values())
    complete = outcome(patients.check.row, changed)
    assert outcome(patients.read, json.dumps(changed).encode()) == complete


def together(patients, *given):
    return patients.read_together([msgspec.Raw(json.dumps(patient).encode()) for patient in given])


def test_patients_are_read_together_as_one_by_one(patients, versions):
    given = [patient for patient, _ in versions.exam(versions.one)][:50]
    assert together(patients, *given) == [patients.read(json.dumps(patient).encode()) for patient in given]


@pytest.mark.parametrize(
    "change",
    [
        lambda patient: patient.pop("race"),
        lambda patient: patient.update(race=None),
        lambda patient: patient.update(admission_type_id=3),
        lambda patient: patient.update(time_in_hospital=4.0),
        lambda patient: patient.update(time_in_hospital=-1),
        lambda patient: patient.update(unknown="a"),
    ],
)
def test_what_is_spelled_in_another_way_is_left_to_be_read_alone(patients, patient, change):
    other = copy.deepcopy(patient)
    change(other)
    assert together(patients, patient, other) is None


def test_a_key_twice_is_not_made_up_for_by_one_that_another_patient_lacks(patients, patient):
    twice = json.dumps(patient)[:-1].encode() + b',"race":"Asian"}'
    lacking = {name: value for name, value in patient.items() if name != "race"}
    bodies = [msgspec.Raw(twice), msgspec.Raw(json.dumps(lacking).encode())]
    assert patients.read_together(bodies) is None


def test_scores_are_scikit_learns(predictor, versions):
    exam = versions.exam(versions.one)
    rows = [predictor.patients.read(json.dumps(patient).encode()) for patient, _ in exam]
    worst = max(abs(risk - expected) for risk, (_, expected) in zip(predictor.score(rows), exam, strict=True))
    assert worst <= 1e-6
    assert not math.isnan(worst)


def test_a_number_that_the_graph_does_not_use_stays_one(predictor, patient):
    extra = msgspec.convert(
        {"name": "beds", "kind": "integer", "required": True, "reference": 1, "minimum": 0, "maximum": 9},
        Field,
    )
    schema = msgspec.structs.replace(predictor.schema, fields=(extra, *predictor.schema.fields))
    patients = Patients(schema)
    body = json.dumps(patient | {"beds": 1, "admission_type_id": 3}).encode()
    values = dict(zip(patients.names, patients.read(body), strict=True))
    assert (values["beds"], values["admission_type_id"]) == (1, "3")
