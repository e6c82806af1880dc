import csv
import io

import hypothesis
import pytest
from hypothesis import strategies

from readmission_data.encounters.columns import COLUMNS, CSV_HEADER
from readmission_data.errors import SourceError
from readmission_data.raw.lines import Block, cut, plain, read_header

HEADER = ("a", "b", "c")


def block(content: bytes) -> Block:
    return Block(content, offset=100, number=2)


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("last", [True, False])
def test_rows_know_where_they_stood(end, last):
    content = b"1,2,3" + end + b"4,5,6" + (end if last else b"")

    rows = cut(block(content))

    assert [rows.line(row) for row in range(len(rows))] == [b"1,2,3", b"4,5,6"]
    assert rows.numbers.tolist() == [2, 3]
    assert rows.following.tolist() == [5 + len(end), len(content)]


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_empty_lines_are_no_rows_but_count(end):
    rows = cut(block(end.join([b"", b"1,2,3", b"", b"", b"4,5,6", b""])))

    assert rows.numbers.tolist() == [3, 6]
    assert [rows.line(row) for row in range(len(rows))] == [b"1,2,3", b"4,5,6"]
    assert plain(rows, HEADER).content.split() == [b"1,2,3", b"4,5,6"]


def test_an_empty_block_has_no_rows():
    rows = cut(block(b""))

    assert len(rows) == len(plain(rows, HEADER).rows) == 0


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"1,2", "2 fields, but the header has 3"),
        (b"1", "1 field, but the header has 3"),
        (b"1,2,3,4", "4 fields, but the header has 3"),
        (b"   ", "1 field, but the header has 3"),
        (b'1,"2,3', "a quote is never closed"),
        (b'1,"2"x,3', "a quote or line break is misplaced"),
        (b"1,2\r,3", "a quote or line break is misplaced"),
        (b"1,\xe9,3", "byte 3 of the line is not UTF-8"),
        (b"1,2\x00,3", "b: contains a character that no valid value has"),
        ("1,é,3".encode(), "b: contains a character that no valid value has"),
        (b'1,"2,2",3', "b: contains a character that no valid value has"),
    ],
)
def test_what_ails_a_line_is_told(bad, reason):
    rows = cut(block(b"1,2,3\n" + bad + b"\n4,5,6\n"))

    found = plain(rows, HEADER)

    assert found.broken == {1: reason}
    assert rows.line(1) == bad
    assert found.rows.tolist() == [0, 2]
    assert found.content.split() == [b"1,2,3", b"4,5,6"]


def test_quoted_fields_are_read():
    assert plain(cut(block(b'"1","2",3')), HEADER).content.split() == [b"1,2,3"]


@hypothesis.given(
    strategies.lists(
        strategies.lists(strategies.text("ab?[-)\"',", max_size=3), min_size=1, max_size=4).filter(
            lambda fields: fields != [""]
        )
    )
)
def test_every_line_is_a_row_or_broken_as_the_csv_module_sees_it(written):
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(written)

    rows = cut(block(text.getvalue().encode()))

    assert len(rows) == len(written)
    usable = [len(row) == 3 and not any(sign in field for field in row for sign in ',"') for row in written]
    found = plain(rows, HEADER)
    assert found.rows.tolist() == [row for row, good in enumerate(usable) if good]
    assert sorted(found.broken) == [row for row, good in enumerate(usable) if not good]
    kept = [",".join(row) for row, good in zip(written, usable, strict=True) if good]
    assert found.content.decode().split("\n") == [*kept, ""] if kept else not found.content


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_header_gives_names_for_databases(end, mark):
    names = read_header(mark + (",".join(CSV_HEADER) + end).encode(), "x.csv")

    assert names == tuple(column.name for column in COLUMNS)


def test_a_header_may_stand_in_any_order_and_in_quotes():
    names = read_header(",".join(f'"{name}"' for name in reversed(CSV_HEADER)).encode(), "x.csv")

    assert names == tuple(column.name for column in reversed(COLUMNS))


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ([name for name in CSV_HEADER if name != "race"], "x.csv: the header lacks column 'race'"),
        ([*CSV_HEADER, "ward"], "x.csv: the header has column 'ward' beyond the 50 columns"),
        ([*CSV_HEADER, "race"], "x.csv: the header has column 'race' twice"),
        (["<html>"], "x.csv: the first line names no column of an encounter; is this diabetic_data.csv?"),
        ([], "x.csv: the first line names no column of an encounter; is this diabetic_data.csv?"),
    ],
)
def test_a_wrong_header_refuses_the_source(header, message):
    with pytest.raises(SourceError) as refused:
        read_header(",".join(header).encode() + b"\n", "x.csv")

    assert str(refused.value) == message


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le"])
def test_a_header_in_another_encoding_refuses_the_source(encoding):
    with pytest.raises(SourceError, match=r"^x\.csv: [^\n]*$"):
        read_header(",".join(CSV_HEADER).encode(encoding), "x.csv")
