"""Patients in a CSV file: reading what people upload, cutting it into requests, writing what comes back."""

import codecs
import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Final

from readmission_ui.errors import FileRefusedError
from readmission_ui.schema import Schema

DELIMITERS: Final = ",;\t|"
"""What separates cells: a spreadsheet in Spanish writes semicolons."""

FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r")
"""First characters of a cell that a spreadsheet may run as a formula."""

STEPS: Final = 100
SMALLEST_STEP: Final = 50
LARGEST_STEP: Final = 2_000
"""Rows of one request: small enough for a smooth progress, few enough requests for a large file."""


@dataclass(frozen=True)
class PatientsFile:
    """The cells of a CSV, unchanged. Empty lines are left out."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def known_columns(self, schema: Schema) -> list[str]:
        """Return the columns that are fields of the model."""
        return [name for name in self.header if schema.field(field_name(name)) is not None]

    def unknown_columns(self, schema: Schema) -> list[str]:
        """Return the columns that are not fields of the model: they are not sent."""
        return [name for name in self.header if schema.field(field_name(name)) is None]

    def steps(self) -> Iterator[tuple[int, tuple[tuple[str, ...], ...]]]:
        """Yield the rows of the requests, each with the number of rows before it."""
        size = min(max(-(-len(self.rows) // STEPS), SMALLEST_STEP), LARGEST_STEP)
        for first in range(0, len(self.rows), size):
            yield first, self.rows[first : first + size]


def field_name(column: str) -> str:
    """Return the field that a column names: the data set itself writes hyphens."""
    return column.strip().replace("-", "_")


def read(content: bytes) -> PatientsFile:
    """Read an uploaded file: UTF-8, UTF-16 or Windows-1252, with the delimiter of its first line.

    Raise FileRefusedError if it is not a text, or has no row below its header.
    """
    text = _text(content)
    first_line, _, rest = text.partition("\n")
    delimiter = max(DELIMITERS, key=first_line.count)
    if first_line.casefold().startswith("sep=") and len(first_line.rstrip("\r")) == len("sep=") + 1:
        # Excel's own way to name the delimiter, in a line above the header.
        delimiter, text = first_line[len("sep=")], rest
    try:
        lines = [
            tuple(cells)
            for cells in csv.reader(StringIO(text, newline=""), delimiter=delimiter, strict=True)
            if any(cell.strip() for cell in cells)
        ]
    except csv.Error as error:
        raise FileRefusedError("batch.not_csv") from error
    if not lines:
        raise FileRefusedError("batch.empty")
    if len(lines) == 1:
        raise FileRefusedError("batch.no_rows")
    return PatientsFile(header=lines[0], rows=tuple(lines[1:]))


def _text(content: bytes) -> str:
    if content.startswith(b"PK"):
        raise FileRefusedError("batch.workbook")
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", errors="replace")
    if b"\0" in content or content.startswith(b"\x1f\x8b"):
        raise FileRefusedError("batch.not_text")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")


def write(header: Sequence[str], rows: Sequence[Sequence[object]]) -> bytes:
    """Return a CSV in UTF-8 with commas."""
    text = StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode()


def for_spreadsheet(header: Sequence[str], rows: Sequence[Sequence[object]]) -> bytes:
    """Return a CSV of which no cell can run as a formula in a spreadsheet."""
    return write([str(_defused(name)) for name in header], [[*map(_defused, row)] for row in rows])


def _defused(cell: object) -> object:
    if not isinstance(cell, str) or not cell.lstrip(" ").startswith(FORMULA_STARTS):
        return cell
    try:
        float(cell)
    except ValueError:
        return f"'{cell}"
    return cell


def template(schema: Schema) -> bytes:
    """Return a CSV to fill in: a header of the model's fields, and the example patients to show how."""
    names = [field.name for field in schema.fields]
    rows = [
        ["" if example.patient.get(name) is None else example.patient[name] for name in names]
        for example in schema.examples
    ]
    return write(names, rows)
