"""The header of a CSV of encounters, read the same way from a file and from a feed's response."""

import csv
from collections.abc import Sequence
from typing import Final

from readmission_data.encounters.columns import COLUMNS

_LISTED: Final = 5
_GZIP: Final = b"\x1f\x8b"
_OTHER_SEPARATORS: Final = ";\t|"
_INDEX_NAMES: Final = frozenset({"", "Unnamed: 0"})
"""Names of the column that pandas writes for a frame's index."""


def read(line: bytes) -> tuple[str, ...]:
    """Return the column names of a header in its order, with underscores for hyphens.

    The columns may come in any order. Raise ValueError with what is wrong if one is missing, unknown or
    repeated, or the line is not a header.
    """
    if line.startswith(_GZIP):
        raise ValueError("the data is compressed with gzip; unpack it first")
    if b"\r" in line.rstrip(b"\r\n"):
        raise ValueError("the lines end with CR alone; save the data with LF or CRLF line ends")
    try:
        fields = [field.strip() for field in next(csv.reader([line.decode("utf-8-sig")], strict=True), [])]
    except (UnicodeDecodeError, csv.Error):
        raise ValueError("the header is not valid UTF-8; save the file as CSV, UTF-8") from None
    known = {column.name: column for column in COLUMNS} | {column.csv_name: column for column in COLUMNS}
    if not any(field in known for field in fields):
        _raise_for_other_text(fields)
    names = [known[field].name for field in fields if field in known]
    absent = [column.csv_name for column in COLUMNS if column.name not in names]
    if absent:
        raise ValueError(f"the header lacks {_listed(absent)}")
    extra = [field[:40] for field in fields if field not in known]
    if extra and fields[0] in _INDEX_NAMES:
        raise ValueError("the first column is an index without a name; write the file with index=False")
    if extra:
        raise ValueError(f"the header has {_listed(extra)} beyond the {len(COLUMNS)} columns")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"the header has {_listed(twice)} twice")
    return tuple(names)


def _raise_for_other_text(fields: Sequence[str]) -> None:
    first = fields[0] if fields else ""
    separator = next((mark for mark in _OTHER_SEPARATORS if first.count(mark) > 1), None)
    if separator:
        raise ValueError(f"the columns are separated by {separator!r}, not by a comma")
    raise ValueError("the first line names no column of an encounter; is this diabetic_data.csv?")


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:_LISTED])
    rest = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"column{'s' if len(names) > 1 else ''} {shown}{rest}"
