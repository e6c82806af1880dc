"""CSV uploads: kept on disk while they arrive, then read, checked and scored some rows at a time.

The upload is complete before the response begins: most clients send everything before they read, so a
response that streams during the upload would deadlock.
"""

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import islice
from tempfile import SpooledTemporaryFile
from typing import IO, Any, Final

from readmission_api.errors import PatientRefusedError, Problem, RefusedError
from readmission_api.predictor.patient_check import shown
from readmission_api.predictor.patients import Patients, Row
from readmission_api.predictor.predictor import Predictor
from readmission_api.predictor.schema import MISSING, Field
from readmission_api.scoring import Scoring

IGNORED: Final = frozenset({"encounter_id", "patient_nbr", "weight", "readmitted"})
"""Columns of the data set that no model takes, so that a whole export can be sent unchanged."""

_ENCOUNTER: Final = "encounter_id"
_SHOWN_ENCOUNTER: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_IN_MEMORY: Final = 1024 * 1024
_LONGEST_HEADER: Final = 16 * 1024
_ROWS_AT_ONCE: Final = 512
_LINES_AT_ONCE: Final = 64
"""Lines per conversion from cells to values: more do not fit into the CPU cache."""
_MANY_SPELLINGS: Final = 20_000
_BROKEN: Final = "the file can't be read as CSV from here on"
_WHOLE: Final = re.compile(r"([+-]?[0-9]{1,400})(?:\.0{1,9})?")
_OTHER_FORMATS: Final = {
    b"\x1f\x8b": "a gzip file",
    b"PK\x03\x04": "a zip archive or an Excel workbook",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
}
_OTHER_SEPARATORS: Final = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}


@dataclass(frozen=True)
class Header:
    """The positions of the fields in a line. `columns` follows `Patients.names`; None is a missing field."""

    width: int
    columns: tuple[int | None, ...]
    encounter: int | None


async def spool(parts: AsyncIterator[bytes]) -> IO[bytes]:
    """Store an upload, in memory while it is small. Raise `RefusedError` if it is not UTF-8 text."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    upload = SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - the answer's stream closes it
    try:
        async for part in parts:
            if not upload.tell():
                _check_format(part)
            decoder.decode(part)
            _check_text(part)
            upload.write(part)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        upload.close()
        raise RefusedError(HTTPStatus.BAD_REQUEST, "bad_encoding", "The file is not UTF-8.") from None
    except BaseException:
        upload.close()
        raise
    upload.seek(0)
    return upload


def _check_format(start: bytes) -> None:
    for magic, name in _OTHER_FORMATS.items():
        if start.startswith(magic):
            raise RefusedError(
                HTTPStatus.BAD_REQUEST,
                "bad_encoding",
                f"The file is {name}; send a CSV file in UTF-8, uncompressed.",
            )


def _check_text(part: bytes) -> None:
    if b"\0" in part:
        raise invalid_csv("The file holds NUL bytes; send it as text.")


def invalid_csv(message: str, problems: tuple[Problem, ...] = ()) -> RefusedError:
    """Return the refusal of a file as a whole."""
    return RefusedError(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_csv", message, problems=problems)


def read_header(upload: IO[bytes], predictor: Predictor) -> Header:
    """Read the first line and leave the file before the second; raise `RefusedError`."""
    names = [name.strip().replace("-", "_") for name in _first_line(upload)]
    if not any(names):
        raise invalid_csv("The file is empty; its first line names the fields.")
    patients = predictor.patients
    found = []
    for name, times in Counter(names).items():
        if name not in patients.names and name not in IGNORED:
            text = shown(name)
            found.append(
                Problem(
                    code="unknown_field",
                    field=text,
                    message=f"unknown column {text}" if text else "a column has no usable name",
                )
            )
        elif times > 1:
            found.append(
                Problem(code="duplicate_field", field=name, message=f"the column {name} is repeated")
            )
    found.extend(
        Problem(code="missing_field", field=field.name, message=f"the column {field.name} is missing")
        for field in patients.fields
        if field.required and field.name not in names
    )
    if found:
        raise invalid_csv(f"The first line is wrong: {found[0].message}.", tuple(found))
    place = {name: index for index, name in enumerate(names)}
    return Header(len(names), tuple(place.get(name) for name in patients.names), place.get(_ENCOUNTER))


def _first_line(upload: IO[bytes]) -> list[str]:
    line = upload.readline(_LONGEST_HEADER)
    if len(line) == _LONGEST_HEADER:
        raise invalid_csv(f"The first line is longer than {_LONGEST_HEADER} bytes; it names the fields.")
    text = line.decode("utf-8-sig")
    if text.lower().startswith("sep="):
        raise invalid_csv("The first line is sep=; remove it, so that the first line names the fields.")
    try:
        names = next(csv.reader([text], strict=True), [])
    except csv.Error:
        raise invalid_csv("The first line can't be read as CSV.") from None
    for separator, plural in _OTHER_SEPARATORS.items():
        if len(names) == 1 and separator in names[0]:
            raise invalid_csv(f"The columns are separated by {plural}; separate them with commas.")
    return names


def score_lines(
    upload: IO[bytes], header: Header, predictor: Predictor, scoring: Scoring, request_id: str
) -> Iterator[bytes]:
    """Yield the response's lines, some at a time. Blocks: do not call it in the event loop."""
    text = io.TextIOWrapper(upload, encoding="utf-8", newline="")
    try:
        columns = ["row", *([_ENCOUNTER] if header.encounter is not None else []), "probability", "class"]
        added = _added(predictor)
        yield (",".join([*columns, *added, "error", "code"]) + "\r\n").encode()
        reader = CsvColumns(predictor.patients, header)
        lines = _Lines(text)
        first = 1
        step = _Step()
        while not step.last:
            step = _read(lines, reader)
            if step.count:
                yield _answers(step, first, predictor, scoring, request_id)
                first += step.count
        if not step.broken:
            return
        cells = [first, *[""] * (len(columns) - 1 + len(added)), _BROKEN, "bad_csv"]
        yield (",".join(map(str, cells)) + "\r\n").encode()
    finally:
        text.detach()


@dataclass
class _Step:
    """Lines that were read: the rows of the valid ones, and the problems of the others by index."""

    count: int = 0
    rows: list[Row] = field(default_factory=list)
    refused: dict[int, Problem] = field(default_factory=dict)
    encounters: list[str] = field(default_factory=list)
    """One per line, empty if it can't be shown; no ids at all if the file does not contain them."""

    last: bool = False
    broken: bool = False
    """The rest of the file can't be read."""


class _Lines:
    """The lines of a file that are not empty, split into cells; a bounded number of characters at a time."""

    def __init__(self, text: io.TextIOBase) -> None:
        self._text = text
        self._left = 0
        self._reader = filter(None, csv.reader(self._characters(), strict=True))

    def take(self, count: int) -> Iterator[list[str]]:
        """Yield up to `count` lines. Raise `csv.Error` if the file can't be read or a line is too long."""
        self._left = count * _LONGEST_HEADER
        yield from islice(self._reader, count)

    def _characters(self) -> Iterator[str]:
        # After an unclosed quote, or in a line of nothing but commas, the whole rest would be read into
        # memory.
        while text := self._text.readline(self._left + 1):
            self._left -= len(text)
            if self._left < 0:
                raise csv.Error
            yield text


def _read(lines: "_Lines", columns: "CsvColumns") -> _Step:
    step = _Step()
    encounter = columns.header.encounter
    while step.count < _ROWS_AT_ONCE and not step.last:
        some: list[list[str]] = []
        try:
            some.extend(lines.take(_LINES_AT_ONCE))
        except csv.Error:
            step.broken = True
        step.last = len(some) < _LINES_AT_ONCE
        rows, refused = columns.read(some)
        step.rows.extend(rows)
        step.refused.update({step.count + index: problem for index, problem in refused.items()})
        if encounter is not None:
            given = (line[encounter] if encounter < len(line) else "" for line in some)
            step.encounters.extend(text if _SHOWN_ENCOUNTER.fullmatch(text) else "" for text in given)
        step.count += len(some)
    return step


def _answers(step: _Step, first: int, predictor: Predictor, scoring: Scoring, request_id: str) -> bytes:
    numbers = [first + index for index in range(step.count) if index not in step.refused]
    risks = scoring.many(predictor, request_id, numbers, step.rows) if step.rows else []
    scored = zip(step.rows, risks, strict=True)
    nothing = [""] * len(_added(predictor))
    out = io.StringIO()
    writer = csv.writer(out)
    for index in range(step.count):
        start: list[Any] = [first + index, *step.encounters[index : index + 1]]
        problem = step.refused.get(index)
        if problem is None:
            row, risk = next(scored)
            added = _remarks(predictor, row, risk)
            writer.writerow([*start, f"{risk:.9g}", int(risk >= predictor.threshold), *added, "", ""])
        else:
            error = f"{problem.field}: {problem.message}" if problem.field else problem.message
            writer.writerow([*start, "", "", *nothing, error, problem.code])
    return out.getvalue().encode()


def _added(predictor: Predictor) -> list[str]:
    """Return the columns that a version's contract adds to an answer."""
    remarks = predictor.remarks
    return [
        *(["low", "high"] if remarks.intervals else []),
        *(["warnings"] if remarks.contradictions else []),
    ]


def _remarks(predictor: Predictor, row: Row, risk: float) -> list[str]:
    """Return the cells of these columns; several warnings are separated by a space, as sentences are."""
    remarks = predictor.remarks
    cells = [f"{end:.9g}" for end in remarks.intervals.of(risk)] if remarks.intervals else []
    return [*cells, " ".join(remarks.contradictions.of(row))] if remarks.contradictions else cells


class CsvColumns:
    """Turns lines of text into rows, column by column if all are valid, otherwise line by line."""

    def __init__(self, patients: Patients, header: Header) -> None:
        self.header = header
        self._patients = patients
        self._spellings = [_spellings(field) for field in patients.fields]

    def read(self, lines: Sequence[list[str]]) -> tuple[list[Row], dict[int, Problem]]:
        """Return the rows of the valid lines, and the problems of the others by index."""
        if set(map(len, lines)) == {self.header.width}:
            columns = list(zip(*lines, strict=True))
            values = []
            for field, spelling, place in zip(
                self._patients.fields, self._spellings, self.header.columns, strict=True
            ):
                if place is None:
                    values.append([field.absent] * len(lines))
                    continue
                column = list(map(spelling.get, columns[place]))
                if None in column:
                    break
                values.append(column)
            else:
                rows = list(zip(*values, strict=True))
                if self._patients.in_cohort(rows):
                    return rows, {}
        rows, refused = [], {}
        for index, line in enumerate(lines):
            try:
                rows.append(self._row(line))
            except PatientRefusedError as error:
                refused[index] = error.problems[0]
        return rows, refused

    def _row(self, line: list[str]) -> Row:
        if len(line) != self.header.width:
            raise PatientRefusedError(
                (
                    Problem(
                        code="wrong_length",
                        message=f"the line has {len(line)} cells, the first line {self.header.width}",
                    ),
                )
            )
        patient = {
            field.name: _cell(field, line[place])
            for field, place in zip(self._patients.fields, self.header.columns, strict=True)
            if place is not None and line[place] != ""
        }
        row = self._patients.read_value(patient)
        # The next lines with the same new text (for example an ICD-9 code) take the fast path.
        for spelling, place, value in zip(self._spellings, self.header.columns, row, strict=True):
            if place is not None and len(spelling) < _MANY_SPELLINGS:
                spelling[line[place]] = value
        return row


def _cell(field: Field, text: str) -> Any:  # noqa: ANN401 - int or str
    if field.kind == "integer" and (whole := _WHOLE.fullmatch(text)):
        return int(whole[1])
    return text


def _spellings(field: Field) -> dict[str, Any]:
    spellings: dict[str, Any] = {}
    if not field.required:
        spellings[""] = field.absent
    if field.takes_missing:
        spellings[MISSING] = MISSING
    if field.kind == "integer":
        assert field.minimum is not None  # noqa: S101 - the schema was checked when it was loaded
        assert field.maximum is not None  # noqa: S101
        top = min(field.maximum, field.minimum + _MANY_SPELLINGS)
        spellings.update({str(value): value for value in range(field.minimum, top + 1)})
    else:
        spellings.update({level.value: level.value for level in field.levels})
    return spellings
