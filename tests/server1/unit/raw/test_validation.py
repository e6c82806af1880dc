import itertools
import re

import numpy as np
import pytest

from readmission_data.encounters.columns import BY_NAME, COLUMNS, ICD9_PATTERN, MISSING, Kind
from readmission_data.raw.lines import Block, cut
from readmission_data.raw.split import Split
from readmission_data.raw.tables import ENCOUNTERS, REJECTED_ROWS
from readmission_data.raw.validation import Checked, check
from support import csv_lines

NAMES = tuple(column.name for column in COLUMNS)
CATEGORIES = [column for column in COLUMNS if column.kind is Kind.CATEGORY]
INTEGERS = [column for column in COLUMNS if column.kind is Kind.INTEGER]
DIAGNOSES = [column for column in COLUMNS if column.kind is Kind.ICD9]


def checked(*written: str, header=NAMES) -> Checked:
    return check(cut(Block("\n".join(written).encode(), 0, 2)), header)


def reason(**values: str) -> str | None:
    """Return the reason why the second of three rows is invalid with these values."""
    found = checked(csv_lines.line(1), csv_lines.line(2, **values), csv_lines.line(3))
    assert set(found.broken) <= {1}
    assert found.rows.tolist() == ([0, 2] if found.broken else [0, 1, 2])
    assert found.encounters[found.rows].tolist() == [row + 1 for row in found.rows.tolist()]
    return found.broken.get(1)


def test_a_good_row_is_typed():
    [row] = checked(csv_lines.line(2278392, 8222157)).columns.to_pylist()

    assert row["encounter_id"] == 2278392
    assert row["patient_nbr"] == 8222157
    assert row["time_in_hospital"] == 3
    assert row["diag_2"] == "250.83"
    assert row["weight"] is None
    assert row["max_glu_serum"] == "None"
    assert list(row) == list(NAMES)


@pytest.mark.parametrize("column", CATEGORIES, ids=lambda column: column.name)
def test_a_category_takes_its_levels_and_nothing_else(column):
    good = checked(*(csv_lines.line(i, **{column.name: level}) for i, level in enumerate(column.levels, 1)))

    assert good.broken == {}
    assert good.columns[column.name].to_pylist() == list(column.levels)
    for bad in ("", "Nope", column.levels[0].lower() + " ", f" {column.levels[0]}"):
        assert reason(**{column.name: bad}).startswith(f"{column.name}: ")


@pytest.mark.parametrize("column", INTEGERS, ids=lambda column: column.name)
def test_an_integer_takes_its_range_and_nothing_else(column):
    assert reason(**{column.name: str(column.minimum)}) is None
    assert reason(**{column.name: str(column.maximum)}) is None
    expected = f"{column.name}: must be an integer from {column.minimum} to {column.maximum}"
    for bad in (
        str(column.minimum - 1),
        str(column.maximum + 1),
        "-3",
        "3.0",
        "1e1",
        "+3",
        "03",
        " 3",
        "",
        "three",
    ):
        assert reason(**{column.name: bad}) == expected


@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: column.name)
def test_missing_is_allowed_where_the_schema_says_so(column):
    found = reason(**{column.name: "?"}) if column.kind is not Kind.IDENTIFIER else None

    assert (found is None) is (column.missing or column.kind is Kind.IDENTIFIER)
    assert BY_NAME[column.name].missing is column.missing


@pytest.mark.parametrize("column", DIAGNOSES, ids=lambda column: column.name)
def test_a_diagnosis_is_an_icd9_code(column):
    for good in ("8", "38", "428", "250.8", "250.83", "V58", "V58.61", "E885", "E885.9"):
        assert reason(**{column.name: good}) is None
    odd = ("", "4280", "V5", "V588", "E88", "428.", "428.123", "E885.12", "v58", "428 ")
    icd10 = ("I50.9", "E11.9", "E119", "E785", "E039", "E10.10", "V270", "Z794", "N179", "E1165", "Z79.4")
    for bad in (*odd, *icd10):
        assert reason(**{column.name: bad}).startswith(f"{column.name}: must be an ICD-9 code")


def test_a_diagnosis_is_kept_in_its_canonical_form():
    written = [
        "250.60",
        "250.6",
        "428.0",
        "428",
        "250.00",
        "008.45",
        "038.9",
        "V58.0",
        "E885.0",
        "E003.0",
        "?",
        "0",
        "000",
    ]
    kept = ["250.6", "250.6", "428", "428", "250", "8.45", "38.9", "V58", "E885", "E003.0", "?", "0", "0"]
    found = checked(*(csv_lines.line(i, diag_1=code) for i, code in enumerate(written, 1)))

    assert found.columns["diag_1"].to_pylist() == [None if code == "?" else code for code in kept]


def test_no_diagnosis_is_longer_than_its_column():
    longest = {ENCOUNTERS[Split.TRAIN].c[column.name].type.length for column in DIAGNOSES}
    # One character of each class represents the class.
    codes = ("".join(signs) for signs in itertools.product("0VE.", repeat=max(longest) + 1))
    assert [code for code in codes if re.fullmatch(ICD9_PATTERN, code)] == []


@pytest.mark.parametrize("name", ["encounter_id", "patient_nbr"])
@pytest.mark.parametrize(
    "bad", ["", "?", "0", "-5", "007", "12.0", "1e6", "abc", "9223372036854775808", "9" * 25]
)
def test_an_identifier_is_a_plain_positive_integer(name, bad):
    found = checked(csv_lines.line(1), csv_lines.line(2, **{name: bad}))

    assert found.broken == {1: f"{name}: must be a positive integer of 64 bits"}


def test_the_largest_identifier_is_kept_exactly():
    assert checked(csv_lines.line(2**63 - 1, 7)).columns["encounter_id"].to_pylist() == [2**63 - 1]


def test_a_reason_names_every_bad_column_and_no_value():
    assert reason(gender="SECRET", time_in_hospital="-3") == (
        "gender: must be one of Female, Male, Unknown/Invalid; "
        "time_in_hospital: must be an integer from 1 to 14"
    )
    assert reason(race="SECRET").endswith(", or ?")
    assert reason(medical_specialty="SECRET") == "medical_specialty: must be one of 72 known levels, or ?"


def test_the_longest_reason_fits_its_column():
    [reason] = checked(",".join(["x"] * len(COLUMNS))).broken.values()

    assert reason.endswith("; and 46 more columns")
    assert len(reason) < REJECTED_ROWS.c.reason.type.length


def test_a_header_that_comes_again_is_no_row():
    assert checked(csv_lines.line(1), csv_lines.HEADER).rows.tolist() == [0]


def test_columns_in_another_order_are_read_by_name():
    order = NAMES[::-1]
    line = ",".join(reversed(csv_lines.line(5).split(",")))

    assert checked(line, header=order).columns.equals(checked(csv_lines.line(5)).columns)


def test_no_rows_are_no_fault():
    assert checked("").columns.num_rows == 0


def test_no_level_holds_the_mark_of_a_missing_value():
    assert not any(MISSING in level for column in CATEGORIES for level in column.levels)


@pytest.mark.parametrize("name", ["diag_1", "time_in_hospital", "encounter_id"])
def test_digits_of_other_scripts_are_no_digits(name):
    assert reason(**{name: "\N{ARABIC-INDIC DIGIT TWO}"}).startswith(f"{name}: ")


def test_rows_that_are_written_oddly_keep_their_place():
    odd = csv_lines.line(2, 20).replace(",", '","')
    found = checked(
        csv_lines.line(1, 10), f'"{odd}"', csv_lines.line(2**63 - 1, 30), "torn", csv_lines.line(5)
    )

    assert found.broken == {3: "1 field, but the header has 50"}
    assert found.rows.tolist() == [0, 1, 2, 4]
    assert found.encounters.tolist() == [1, 2, 2**63 - 1, 0, 5]
    assert found.patients.tolist()[:4] == [10, 20, 30, 0]
    plain = checked(
        csv_lines.line(1, 10), csv_lines.line(2, 20), csv_lines.line(2**63 - 1, 30), csv_lines.line(5)
    )
    assert found.columns.to_pylist() == plain.columns.to_pylist()
    assert found.chosen(np.array([1, 4])).to_pylist() == plain.columns.take([1, 3]).to_pylist()


def test_empty_lines_and_odd_line_ends_change_no_row():
    rows = [csv_lines.line(1), csv_lines.line(2, race='"Caucasian"'), csv_lines.line(3)]
    content = "\n\r\n".join(rows).encode() + b"\r\n\r\n"

    found = check(cut(Block(b"\n" + content, 0, 2)), NAMES)

    assert found.broken == {}
    assert found.columns.to_pylist() == checked(*rows).columns.to_pylist()


def test_a_broken_row_keeps_its_numbers():
    """Numbers decide which load reports a row, and whether it is a repeat."""
    found = checked(csv_lines.line(1, 10), csv_lines.line(2, 20, gender="SECRET"))

    assert found.encounters.tolist() == [1, 2]
    assert found.patients.tolist() == [10, 20]
