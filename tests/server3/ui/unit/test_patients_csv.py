"""Reading and writing files of patients."""

import csv
from io import StringIO

import pytest

from readmission_ui import patients_csv
from readmission_ui.api_answers import ScoredRow
from readmission_ui.errors import FileRefusedError
from readmission_ui.patients_csv import PatientsFile
from readmission_ui.schema import Schema
from readmission_ui.scoring import REFUSED_COLUMNS, RESULT_COLUMNS, Result, Scored

HEADER = ("name", "age")


def test_a_byte_order_mark_and_blank_lines_are_no_cells():
    file = patients_csv.read("\N{ZERO WIDTH NO-BREAK SPACE}race,age\r\n\r\nAsian,4\r\n,\r\n".encode())
    assert file == PatientsFile(("race", "age"), (("Asian", "4"),))


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_delimiter_is_found_in_the_header(delimiter: str):
    text = f'race{delimiter}age\n"a{delimiter}b"{delimiter}4\n'
    assert patients_csv.read(text.encode()).rows == ((f"a{delimiter}b", "4"),)


def test_a_cell_may_span_lines():
    assert patients_csv.read(b'note,age\n"two\nlines",4\n').rows == (("two\nlines", "4"),)


@pytest.mark.parametrize(
    ("content", "key"),
    [
        (b"PK\x03\x04\x00", "batch.workbook"),
        (b"\x1f\x8b\x08\x00", "batch.not_text"),
        (b"race\x00age", "batch.not_text"),
    ],
)
def test_a_binary_file_is_refused_by_its_kind(content: bytes, key: str):
    with pytest.raises(FileRefusedError) as refused:
        patients_csv.read(content)
    assert refused.value.key == key


@pytest.mark.parametrize("first", ["sep=;\r\n", "SEP=;\n"])
def test_the_line_that_names_the_delimiter_is_followed(first: str):
    file = patients_csv.read(f"{first}race;age\r\nAsian, or so;4\r\n".encode())
    assert file == PatientsFile(("race", "age"), (("Asian, or so", "4"),))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "cp1252"])
def test_the_encodings_of_spreadsheets_are_read(encoding: str):
    file = patients_csv.read("bed\tage\r\nhabitación\t4\r\n".encode(encoding))
    assert file == PatientsFile(("bed", "age"), (("habitación", "4"),))


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ("=1+1", "'=1+1"),
        ("+SUM(A1)", "'+SUM(A1)"),
        ("-2+3", "'-2+3"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        (" =1", "' =1"),
        ("-5", "-5"),
        ("+4.5", "+4.5"),
        ("Ann", "Ann"),
        (0.25, "0.25"),
    ],
)
def test_a_formula_is_only_text_in_a_spreadsheet(cell: object, written: str):
    content = patients_csv.for_spreadsheet(["=head", "n"], [[cell, 1]])
    assert patients_csv.read(content) == PatientsFile(("'=head", "n"), ((written, "1"),))


@pytest.mark.parametrize("count", [1, 50, 51, 500, 30_000, 500_000])
def test_steps_hold_every_row_once_and_are_neither_tiny_nor_huge(count: int):
    file = PatientsFile(("row",), tuple((str(row),) for row in range(count)))
    steps = list(file.steps())
    assert [before for before, _ in steps] == [
        sum(len(rows) for _, rows in steps[:index]) for index in range(len(steps))
    ]
    assert tuple(row for _, rows in steps for row in rows) == file.rows
    assert max(len(rows) for _, rows in steps) <= 2_000


def test_the_template_names_the_fields_and_shows_the_examples():
    schema = Schema.parse(
        {
            "schema_version": "1.0",
            "fields": [{"name": "age", "kind": "integer"}, {"name": "race", "kind": "category"}],
            "threshold": 0.2,
            "examples": [{"name": {"en": "One"}, "patient": {"race": "Asian", "age": 4}}],
        }
    )
    assert patients_csv.template(schema) == b"age,race\r\n4,Asian\r\n"


def result(*, synthetic: bool, header: tuple[str, ...] = HEADER) -> Result:
    answers = [
        ScoredRow.model_validate({"row": 1, "probability": "0.25", "class": "1", "error": "", "code": ""}),
        ScoredRow.model_validate(
            {"row": 2, "probability": "", "class": "", "error": "age: too old", "code": "out_of_range"}
        ),
    ]
    cells = [("Ann", "4", *"stuvwxyz")[: len(header)], ("Bo", "400")]
    rows = [
        Scored(number, row, answer, "7", 0.2)
        for number, (row, answer) in enumerate(zip(cells, answers, strict=True), 1)
    ]
    return Result("ward.csv", header, tuple(rows), synthetic)


def read(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO(content.decode())))


def test_the_result_stands_beside_each_row():
    first, second = read(result(synthetic=False).to_csv())
    assert first == {
        "name": "Ann",
        "age": "4",
        "probability": "0.25",
        "class": "1",
        "threshold": "0.2",
        "model_version": "7",
        "error": "",
    }
    assert (second["probability"], second["class"], second["error"]) == ("", "", "age: too old")


def test_a_synthetic_result_says_so_in_every_row():
    assert {row["warning"] for row in read(result(synthetic=True).to_csv())} == {
        "SYNTHETIC MODEL: NOT A REAL RISK"
    }


def test_refused_rows_can_be_mended_and_sent_again():
    again = result(synthetic=False).refused_to_csv()
    assert read(again) == [{"name": "Bo", "age": "400", "model_version": "7", "error": "age: too old"}]
    assert patients_csv.read(again).header == (*HEADER, "model_version", "error")


@pytest.mark.parametrize("warning", [(), ("warning",)])
@pytest.mark.parametrize("block", [RESULT_COLUMNS, REFUSED_COLUMNS])
def test_answers_of_an_earlier_upload_are_replaced(block: tuple[str, ...], warning: tuple[str, ...]):
    first, _ = read(result(synthetic=False, header=(*HEADER, *block, *warning)).to_csv())
    assert list(first) == [*HEADER, *RESULT_COLUMNS]
    assert first["probability"] == "0.25"


@pytest.mark.parametrize("earlier", [(), RESULT_COLUMNS])
def test_columns_of_the_user_come_back_whatever_their_names(earlier: tuple[str, ...]):
    own = ("class", "warning", "error")
    found = result(synthetic=True, header=(*HEADER, *own, *earlier))
    for content, columns in ((found.to_csv(), RESULT_COLUMNS), (found.refused_to_csv(), REFUSED_COLUMNS)):
        assert patients_csv.read(content).header == (*HEADER, *own, *columns, "warning")
    first = patients_csv.read(found.to_csv()).rows[0]
    assert first[:6] == ("Ann", "4", "s", "t", "u", "0.25")
