"""Scoring a whole file: request by request, with its progress told, and one result in the end."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from readmission_ui.api_answers import ScoredCsv, ScoredRow
from readmission_ui.api_client import ApiClient
from readmission_ui.errors import BusyError, UnexpectedAnswerError
from readmission_ui.patients_csv import PatientsFile, field_name, for_spreadsheet, write
from readmission_ui.schema import Schema

ATTEMPTS: Final = 6
WAIT_SECONDS: Final = 1.0

RESULT_COLUMNS: Final = ("probability", "class", "threshold", "model_version", "error")
REFUSED_COLUMNS: Final = ("model_version", "error")
_WARNING: Final = "warning"


@dataclass(frozen=True)
class Scored:
    """One row of the file and what became of it. `row` counts from 1, the first row below the header."""

    row: int
    cells: tuple[str, ...]
    answer: ScoredRow
    version: str
    threshold: float


@dataclass(frozen=True)
class Result:
    """A file's rows in their order, with risks or reasons."""

    name: str
    header: tuple[str, ...]
    rows: tuple[Scored, ...]
    synthetic: bool

    @property
    def accepted(self) -> list[Scored]:
        """The rows that have a risk."""
        return [row for row in self.rows if row.answer.probability is not None]

    @property
    def refused(self) -> list[Scored]:
        """The rows that were refused, each with why."""
        return [row for row in self.rows if row.answer.probability is None]

    @property
    def versions(self) -> list[str]:
        """The versions that answered: more than one where the model changed meanwhile."""
        return list(dict.fromkeys(row.version for row in self.accepted))

    def to_csv(self) -> bytes:
        """Return the file with its answers beside each row."""
        return self._write(self.rows, RESULT_COLUMNS)

    def refused_to_csv(self) -> bytes:
        """Return the refused rows alone, to be mended and sent again."""
        return self._write(self.refused, REFUSED_COLUMNS)

    def _write(self, rows: Sequence[Scored], columns: tuple[str, ...]) -> bytes:
        kept = _before_answers(self.header)
        # In the file itself too: it goes to places where no banner stands above it.
        warning = {_WARNING: "SYNTHETIC MODEL: NOT A REAL RISK"} if self.synthetic else {}
        header = (*self.header[:kept], *columns, *warning)
        lines = []
        for row in rows:
            cells = row.cells + ("",) * len(self.header)
            told = _told(row)
            lines.append((*cells[:kept], *(told[name] for name in columns), *warning.values()))
        return for_spreadsheet(header, lines)


def _before_answers(header: tuple[str, ...]) -> int:
    """Return the number of columns without the answers that a result uploaded again has at its end.

    Columns of the user may have the same names: what counts is the whole block, in its order.
    """
    end = len(header) - (header[-1:] == (_WARNING,))
    for block in (RESULT_COLUMNS, REFUSED_COLUMNS):
        if header[:end][-len(block) :] == block:
            return end - len(block)
    return len(header)


def _told(row: Scored) -> dict[str, object]:
    answer = row.answer
    known = answer.probability is not None
    return {
        "probability": answer.probability if known else "",
        "class": int(bool(answer.flagged)) if known else "",
        "threshold": row.threshold,
        "model_version": row.version,
        "error": answer.error,
    }


def score(
    client: ApiClient,
    file: PatientsFile,
    schema: Schema,
    *,
    progress: Callable[[int], None],
) -> tuple[Scored, ...]:
    """Score every row. `progress` is told the number of rows done.

    What the API raises goes through: nothing is kept of a file that was not answered to its end.
    """
    unknown = set(file.unknown_columns(schema))
    sent = [index for index, name in enumerate(file.header) if name not in unknown]
    header = [field_name(file.header[index]) for index in sent]
    scored: list[Scored] = []
    for before, rows in file.steps():
        whole = [cells for cells in rows if len(cells) == len(file.header)]
        answer = _ask(client, write(header, [[cells[index] for index in sent] for cells in whole]))
        if len(answer.rows) != len(whole):
            raise UnexpectedAnswerError("the answer to a CSV does not have one line a row")
        answers = iter(answer.rows)
        for number, cells in enumerate(rows, start=before + 1):
            broken = len(cells) != len(file.header)
            found = _broken_row(number, cells, file) if broken else next(answers)
            scored.append(Scored(number, cells, found, answer.version, answer.threshold))
        progress(len(scored))
    return tuple(scored)


def _broken_row(number: int, cells: tuple[str, ...], file: PatientsFile) -> ScoredRow:
    """Refuse a row whose cells cannot be told apart. It is not sent: columns are chosen by their place."""
    message = f"the row has {len(cells)} cells, the header {len(file.header)}"
    return ScoredRow(row=number, code="wrong_length", error=message)


def _ask(client: ApiClient, content: bytes) -> ScoredCsv:
    """Ask once more, a little later, while the API has too much to do."""
    for _ in range(ATTEMPTS - 1):
        try:
            return client.predict_csv(content)
        except BusyError:
            time.sleep(WAIT_SECONDS)
    return client.predict_csv(content)
