"""Broken rows and files: one clear line for each, and nothing is lost."""

import base64
from collections.abc import Callable
from pathlib import Path

import pytest

from readmission_data.encounters.columns import CSV_HEADER
from readmission_data.errors import ReadmissionDataError
from readmission_data.raw.load import load_all, load_next
from support import csv_lines

# These loads never reach a database.
SQLITE_ALONE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
GOOD = csv_lines.line(5)


def without(name: str) -> str:
    fields = GOOD.split(",")
    del fields[CSV_HEADER.index(name)]
    return ",".join(fields)


BROKEN_ROWS = {
    "unknown level": (
        csv_lines.line(5, race="Martian"),
        "race: must be one of AfricanAmerican, Asian, Caucasian,",
    ),
    "level in other letters": (csv_lines.line(5, readmitted="no"), "readmitted: must be one of NO, >30, <30"),
    "not asked for missing": (csv_lines.line(5, gender="?"), "gender: must be one of"),
    "pandas' missing": (
        csv_lines.line(5, max_glu_serum=""),
        "max_glu_serum: must be one of None, Norm, >200, >300",
    ),
    "negative days": (
        csv_lines.line(5, time_in_hospital="-3"),
        "time_in_hospital: must be an integer from 1 to 14",
    ),
    "too many days": (
        csv_lines.line(5, time_in_hospital="15"),
        "time_in_hospital: must be an integer from 1 to 14",
    ),
    "no integer": (
        csv_lines.line(5, num_medications="many"),
        "num_medications: must be an integer from 0 to 150",
    ),
    "a decimal": (
        csv_lines.line(5, num_medications="12.0"),
        "num_medications: must be an integer from 0 to 150",
    ),
    "no ICD-9 code": (
        csv_lines.line(5, diag_1="I50.9"),
        "diag_1: must be an ICD-9 code such as 250.83, V58 or E885, not ICD-10",
    ),
    "a code longer than its column": (
        csv_lines.line(5, diag_1="E885.12"),
        "diag_1: must be an ICD-9 code such as 250.83, V58 or E885, not ICD-10",
    ),
    "no id": (csv_lines.line(5).replace("5,", ",", 1), "encounter_id: must be a positive integer of 64 bits"),
    "no patient": (
        csv_lines.line(5).replace("1000005", "?"),
        "patient_nbr: must be a positive integer of 64 bits",
    ),
    "an id beyond 64 bits": ("9" * 20 + GOOD[1:], "encounter_id: must be a positive integer of 64 bits"),
    "a field too few": (without("weight"), "49 fields, but the header has 50"),
    "a field too many": (GOOD + ",NO", "51 fields, but the header has 50"),
    "a torn line": (GOOD[:40], "8 fields, but the header has 50"),
    "an open quote": (csv_lines.line(5, race='"Caucasian'), "a quote is never closed"),
    "a quote inside a field": (csv_lines.line(5, race='"Cau"casian'), "a quote or line break is misplaced"),
    "an overlong field": (
        csv_lines.line(5, medical_specialty="x" * 100_000),
        "medical_specialty: must be one of 72",
    ),
    "the header again": (
        csv_lines.HEADER,
        "encounter_id: must be a positive integer of 64 bits; patient_nbr: ",
    ),
    "separators alone": ("," * 49, "encounter_id: must be a positive integer of 64 bits; patient_nbr: "),
    "a text of its own": ("total: 101766 rows", "1 field, but the header has 50"),
    "Excel's way": (GOOD.replace(",", ";"), "1 field, but the header has 50"),
    "a letter beyond ASCII": (
        csv_lines.line(5, race="Caucasián"),
        "race: contains a character that no valid value has",
    ),
}


def test_broken_rows_are_kept_and_explained_and_the_others_load(settings, query, tmp_path):
    lines = []
    for number, (bad, _) in enumerate(BROKEN_ROWS.values(), start=100):
        lines += [csv_lines.line(number), bad]
    dataset = str(csv_lines.write(tmp_path / "d.csv", lines))

    [result] = load_all(settings(dataset=dataset))

    count = len(BROKEN_ROWS)
    assert (result.rows_read, result.loaded, result.rejected) == (2 * count, count, count)
    rejected = query("SELECT line_number, encoding, line, reason FROM rejected_rows ORDER BY line_number")
    for (kind, (bad, reason)), (number, encoding, line, told) in zip(
        BROKEN_ROWS.items(), rejected, strict=True
    ):
        assert lines[number - 2] == line == bad, kind
        assert encoding == "utf-8", kind
        assert told.startswith(reason), kind
        assert "\n" not in told, kind


NO_TEXT = {
    "another encoding": (
        GOOD.replace("Caucasian", "Caucasián").encode("latin-1"),
        "byte 18 of the line is not UTF-8",
    ),
    "a NUL byte": (
        GOOD.replace("Female", "Fem\0le").encode(),
        "gender: contains a character that no valid value has",
    ),
    "two bytes a letter": (
        GOOD.encode("utf-16-le"),
        "encounter_id: contains a character that no valid value has",
    ),
}


def test_bytes_that_are_no_text_are_kept_to_the_bit(settings, query, tmp_path):
    good = [line.encode() for line in csv_lines.lines(4)]
    dataset = tmp_path / "d.csv"
    dataset.write_bytes(
        b"\n".join([csv_lines.HEADER.encode(), *good, *(bad for bad, _ in NO_TEXT.values()), b""])
    )

    [result] = load_all(settings(dataset=str(dataset)))

    assert (result.rows_read, result.loaded, result.rejected) == (7, 4, 3)
    rejected = query("SELECT encoding, line, reason FROM rejected_rows ORDER BY line_number")
    kept = [(base64.b64decode(line), reason) for encoding, line, reason in rejected if encoding == "base64"]
    assert kept == list(NO_TEXT.values())


def _other_encoding(path: Path) -> None:
    path.write_bytes("\n".join([csv_lines.HEADER, *csv_lines.lines(5)]).encode("utf-16"))


def _header(*names: str) -> Callable[[Path], None]:
    return lambda path: csv_lines.write(path, csv_lines.lines(5), header=",".join(names)) and None


BROKEN_FILES = {
    "missing column": (_header(*CSV_HEADER[:2], *CSV_HEADER[3:]), "race"),
    "extra column": (_header(*CSV_HEADER, "ward"), "ward"),
    "a column twice": (_header(*CSV_HEADER, "race"), "race"),
    "no header": (
        lambda path: csv_lines.write(path, csv_lines.lines(5), header=csv_lines.line(99)),
        "first line",
    ),
    "another encoding": (_other_encoding, "UTF-8"),
    "another separator": (
        lambda path: path.write_text("\n".join([csv_lines.HEADER, *csv_lines.lines(5)]).replace(",", ";")),
        "comma",
    ),
    "a header alone": (lambda path: csv_lines.write(path, []), "no rows"),
    "an empty file": (lambda path: path.write_bytes(b""), "empty"),
    "a web page": (
        lambda path: path.write_text("<!DOCTYPE html><html><body>Sign in</body></html>"),
        "web page",
    ),
    "no file": (lambda _path: None, "does not exist"),
}


@SQLITE_ALONE
@pytest.mark.parametrize(("make", "word"), BROKEN_FILES.values(), ids=BROKEN_FILES)
def test_a_broken_file_is_refused_in_one_line_that_says_why(settings, query, tmp_path, make, word):
    good = csv_lines.write(tmp_path / "good.csv", csv_lines.lines(20))
    list(load_all(settings(dataset=str(good))))
    bad = tmp_path / "bad.csv"
    make(bad)

    with pytest.raises(ReadmissionDataError) as refused:
        list(load_all(settings(dataset=str(bad))))

    assert word in str(refused.value)
    assert str(bad) in str(refused.value)
    assert "\n" not in str(refused.value)
    assert query("SELECT COUNT(*), SUM(rows_read) FROM batch_info") == [(1, 20)]


def test_rows_of_which_all_are_cut_in_two_lose_nothing(settings, query, tmp_path):
    halves = [part for line in csv_lines.lines(50) for part in (line[:60], line[60:])]
    dataset = str(csv_lines.write(tmp_path / "d.csv", [*halves, *csv_lines.lines(10, start=500)]))

    [result] = load_all(settings(dataset=dataset))

    assert (result.loaded, result.rejected) == (10, 100)
    kept = query("SELECT line FROM rejected_rows ORDER BY line_number")
    assert [line for (line,) in kept] == halves


@SQLITE_ALONE
def test_a_line_without_an_end_is_no_csv(settings, tmp_path):
    dataset = tmp_path / "d.csv"
    dataset.write_bytes(f"{csv_lines.HEADER}\n{GOOD}\n".encode() + b"x" * (11 << 20))

    with pytest.raises(
        ReadmissionDataError, match=r"d\.csv: line 3 is longer than \d+ bytes; this is no CSV"
    ):
        list(load_all(settings(dataset=str(dataset))))


@SQLITE_ALONE
def test_a_file_may_have_its_columns_in_another_order(settings, query, tmp_path):
    lines = [",".join(reversed(line.split(","))) for line in csv_lines.lines(5)]
    dataset = csv_lines.write(tmp_path / "d.csv", lines, header=",".join(reversed(CSV_HEADER)))

    assert load_next(settings(dataset=str(dataset))).loaded == 5
    assert query("SELECT COUNT(*) FROM rejected_rows") == [(0,)]
