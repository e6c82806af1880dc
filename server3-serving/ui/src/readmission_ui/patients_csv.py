"""Patients in a CSV file: reading what people upload, cutting it into requests, writing what comes back."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Final

from readmission_ui.errors import FileRefusedError
from readmission_ui.schema import Schema

DELIMITERS: Final = ",;\t"
"""What stands between cells: a spreadsheet in Spanish writes semicolons."""

STEPS: Final = 100
SMALLEST_STEP: Final = 50
LARGEST_STEP: Final = 2_000
"""Rows of one request: small enough for a smooth progress, few enough requests for a large file."""


@dataclass(frozen=True)
class PatientsFile:
    """The cells of a CSV, as they stand there. Empty lines are left out."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def unknown_columns(self, schema: Schema) -> list[str]:
        """Return the columns that are none of the model's fields: they are not sent."""
        return [name for name in self.header if schema.field(field_name(name)) is None]

    def steps(self) -> Iterator[tuple[int, tuple[tuple[str, ...], ...]]]:
        """Yield the rows of the requests, each with the number of rows before it."""
        size = min(max(-(-len(self.rows) // STEPS), SMALLEST_STEP), LARGEST_STEP)
        for first in range(0, len(self.rows), size):
            yield first, self.rows[first : first + size]


def field_name(column: str) -> str:
    """Return the field that a column's name stands for: the data set itself writes hyphens."""
    return column.strip().replace("-", "_")


def read(content: bytes) -> PatientsFile:
    """Read an uploaded file: UTF-8 or Windows-1252; commas, semicolons or tabs.

    Raises FileRefusedError where it is not a text, or holds no row below its header.
    """
    if b"\0" in content:
        raise FileRefusedError("batch.not_text")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("cp1252", errors="replace")
    first_line = text.partition("\n")[0]
    delimiter = max(DELIMITERS, key=first_line.count)
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


def write(header: Sequence[str], rows: Sequence[Sequence[object]]) -> bytes:
    """Return a CSV in UTF-8 with commas."""
    text = StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode()


def template(schema: Schema) -> bytes:
    """Return a CSV to fill in: a header of the model's fields, and the example patients to show how."""
    names = [field.name for field in schema.fields]
    rows = [
        ["" if example.patient.get(name) is None else example.patient[name] for name in names]
        for example in schema.examples
    ]
    return write(names, rows)
