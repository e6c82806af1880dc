import csv
import io
import json

import pytest

from readmission_api.errors import PatientRefusedError, RefusedError
from readmission_api.metrics.instruments import Instruments
from readmission_api.routes.csv_upload import CsvColumns, read_header, score_lines
from readmission_api.scoring import Scoring


def header_of(predictor, line):
    return read_header(io.BytesIO(line.encode() + b"\n"), predictor)


@pytest.fixture(scope="module")
def lines(versions):
    with versions.one.with_suffix(".exam.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    return header[:-1], [row[:-1] for row in rows]


def test_a_column_at_a_time_and_a_line_at_a_time_agree(predictor, lines):
    names, rows = lines
    header = header_of(predictor, ",".join(names))
    fast, refused = CsvColumns(predictor.patients, header).read(rows)
    assert not refused
    slow = CsvColumns(predictor.patients, header)
    assert [slow._row(row) for row in rows] == fast


def test_columns_may_come_in_any_order_and_spelling(predictor, lines):
    names, rows = lines
    order = [*range(1, len(names), 2), *range(0, len(names), 2)]
    header = header_of(predictor, ",".join(names[index].replace("_", "-") for index in order))
    shuffled = [[row[index] for index in order] for row in rows]
    plain, _ = CsvColumns(predictor.patients, header_of(predictor, ",".join(names))).read(rows)
    found, _ = CsvColumns(predictor.patients, header).read(shuffled)
    assert found == plain


def test_an_empty_cell_is_a_field_left_out(predictor, lines):
    names, rows = lines
    row = list(rows[0])
    row[names.index("race")] = row[names.index("insulin")] = ""
    found, refused = CsvColumns(predictor.patients, header_of(predictor, ",".join(names))).read([row])
    assert not refused
    values = dict(zip(predictor.patients.names, found[0], strict=True))
    assert (values["race"], values["insulin"]) == ("?", "No")


def test_bad_lines_are_told_and_the_others_stay(predictor, lines):
    names, rows = lines
    bad = {
        1: ("age", "old", "unknown_level"),
        3: ("time_in_hospital", "99", "out_of_range"),
        4: ("gender", "", "missing_field"),
    }
    broken = [list(row) for row in rows[:6]]
    for number, (name, value, _) in bad.items():
        broken[number][names.index(name)] = value
    broken[5] = broken[5][:-1]
    found, refused = CsvColumns(predictor.patients, header_of(predictor, ",".join(names))).read(broken)
    assert len(found) == 2
    assert {number: (problem.field, problem.code) for number, problem in refused.items()} == {
        **{number: (name, code) for number, (name, _, code) in bad.items()},
        5: (None, "wrong_length"),
    }


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda names: [*names, "blood"], "unknown_field"),
        (lambda names: [*names, names[0]], "duplicate_field"),
        (lambda names: [name for name in names if name != "age"], "missing_field"),
    ],
)
def test_a_wrong_first_line_is_refused(predictor, lines, change, code):
    with pytest.raises(RefusedError) as caught:
        header_of(predictor, ",".join(change(lines[0])))
    assert caught.value.code == "invalid_csv"
    assert caught.value.problems[0].code == code


@pytest.mark.parametrize("line", ["", "   ", '"age', "\x00"])
def test_a_first_line_that_is_none_is_refused(predictor, line):
    with pytest.raises(RefusedError):
        header_of(predictor, line)


@pytest.mark.parametrize("name", ["a", "é"])
def test_a_first_line_without_end_is_refused_at_once(predictor, name):
    upload = io.BytesIO((f"{name}," * 1_000_000).encode())
    with pytest.raises(RefusedError) as caught:
        read_header(upload, predictor)
    assert caught.value.code == "invalid_csv"
    assert upload.tell() < 100_000


@pytest.mark.parametrize("rows_before", [0, 3, 64, 600])
def test_blank_lines_end_nothing_and_count_for_nothing(predictor, lines, rows_before):
    names, rows = lines
    rows = [rows[number % len(rows)] for number in range(rows_before + 1)]
    text = [",".join(names), *map(",".join, rows[:-1]), *[""] * 2_000, ",".join(rows[-1]), ""]
    upload = io.BytesIO("\n".join(text).encode())
    header = read_header(upload, predictor)
    scores = Scoring(Instruments(), max_queue=1, on_scored=lambda _: None)
    answer = b"".join(score_lines(upload, header, predictor, scores, "blank")).decode()
    told = list(csv.reader(answer.splitlines()))[1:]
    assert [line[0] for line in told] == [str(number + 1) for number in range(len(rows))]
    given = [CsvColumns(predictor.patients, header)._row(row) for row in rows]
    assert [float(line[1]) for line in told] == pytest.approx(predictor.score(given), abs=1e-7)


@pytest.mark.parametrize(
    ("name", "cell", "value", "accepted"),
    [
        ("admission_type_id", "3", 3, True),
        ("admission_type_id", "3", "3", True),
        ("admission_type_id", "3.0", 3.0, True),
        ("admission_type_id", "3.0", "3.0", True),
        ("admission_type_id", "3.00", "3.00", True),
        ("admission_type_id", "3.5", 3.5, False),
        ("admission_type_id", "03", "03", False),
        ("admission_type_id", "-3", -3, False),
        ("admission_type_id", "99", 99, False),
        ("admission_type_id", "\u0663", "\u0663", False),
        ("admission_type_id", "\uff13.0", "\uff13.0", False),
        ("time_in_hospital", "5", 5, True),
        ("time_in_hospital", "5.0", 5.0, True),
        ("time_in_hospital", "5.5", 5.5, False),
        ("time_in_hospital", "15", 15, False),
        ("time_in_hospital", "\u0665", "\u0665", False),
        ("time_in_hospital", "\uff15", "\uff15", False),
        ("time_in_hospital", "\u0665.0", "\u0665.0", False),
    ],
)
def test_a_cell_and_json_are_read_alike(predictor, patient, lines, name, cell, value, accepted):
    names, _ = lines
    row = [str((patient | {name: cell})[column]) for column in names]
    columns = CsvColumns(predictor.patients, header_of(predictor, ",".join(names)))
    body = json.dumps(patient | {name: value}).encode()
    if accepted:
        assert columns.read([row])[0] == [predictor.patients.read(body)]
    else:
        assert list(columns.read([row])[1]) == [0]
        with pytest.raises(PatientRefusedError):
            predictor.patients.read(body)


@pytest.mark.parametrize("endless", [",", '"', "a", '"\n",'])
def test_an_endless_line_is_not_read_into_memory(predictor, lines, endless):
    names, rows = lines
    text = "\n".join([",".join(names), ",".join(rows[0]), endless * 2_000_000])
    upload = io.BytesIO(text.encode())
    header = read_header(upload, predictor)
    scores = Scoring(Instruments(), max_queue=1, on_scored=lambda _: None)
    *_, last = b"".join(score_lines(upload, header, predictor, scores, "r")).splitlines()
    assert last.endswith(b",bad_csv")
    assert upload.tell() < 3_000_000
