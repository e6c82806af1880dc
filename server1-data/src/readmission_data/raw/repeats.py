"""Repeated encounters: in the same delivery, or after an earlier one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import sqlalchemy as sa

from readmission_data import databases
from readmission_data.encounters.columns import COLUMNS, TARGET
from readmission_data.encounters.levels import PENDING
from readmission_data.raw.ledger import Batch
from readmission_data.raw.outcome_history import Correction, History
from readmission_data.raw.tables import ENCOUNTERS

Numbers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
_Columns = Callable[[Numbers], pa.Table]

_IDS_AT_ONCE = 5_000
_NAMES = [column.name for column in COLUMNS if column.name != TARGET]
_TWICE = "encounter_id: repeated in this source; the first row is kept"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Which of n rows are new [n], which are known [n], and why each other one is refused.

    A row is known if its encounter is, with the same values. `corrections` are the known rows that differ in
    the outcome, in order.
    """

    new: Mask
    known: Mask
    corrections: Sequence[Correction]
    refused: Mapping[int, str]


@dataclass(frozen=True, slots=True)
class _Encounter:
    """An encounter's values without the outcome, its outcome, and the batch that brought it.

    The batch is None for an encounter of the rows that are judged.
    """

    values: tuple[object, ...]
    outcome: str
    batch: int | None = None


@dataclass(slots=True)
class Seen:
    """The encounters that a load knows to exist.

    The tables are queried only if they can contain one of the delivery's encounters. If they were empty, the
    numbers of this load are enough. If a source's first load has read all of its numbers and found no
    repeats, its later loads need no query at all.
    """

    ledger: Sequence[Batch]
    own: Sequence[Batch]
    """The batches of the ledger that came from this load's source."""
    same_place: Sequence[Batch] = ()
    """The batches that came from the same path or address, whatever was there then."""
    numbers: set[int] = field(default_factory=set)
    """The numbers that this load took, if the tables were empty before it."""
    all_numbers: list[Numbers] = field(default_factory=list)

    @property
    def _tables_were_empty(self) -> bool:
        return not self.ledger

    @property
    def _source_is_free_of_repeats(self) -> bool:
        return len(self.own) == len(self.ledger) and not any(batch.repeats_possible for batch in self.own)

    def note(self, numbers: Numbers) -> None:
        """Record every encounter's number in a source, whether or not this load takes it."""
        self.all_numbers.append(numbers)

    def repeats_possible(self) -> bool:
        """Return whether a number may occur twice in the source, as far as this or an earlier load knows."""
        if not self.all_numbers:
            return not (self.ledger and self._source_is_free_of_repeats)
        numbers = np.sort(np.concatenate(self.all_numbers))
        return bool((numbers[1:] == numbers[:-1]).any())

    def judge(
        self, connection: sa.Connection, numbers: Numbers, lines: Numbers, columns: _Columns
    ) -> Verdict:
        """Separate new rows from those of known encounters, for the encounters `numbers` [n] at `lines` [n].

        `columns` returns the typed rows at some positions, if they must be compared.
        """
        new = np.zeros(len(numbers), dtype=np.bool_)
        new[np.unique(numbers, return_index=True)[1]] = True
        there = self._stored(connection, numbers[new])
        new &= ~np.isin(numbers, list(there))
        known = np.zeros(len(numbers), dtype=np.bool_)
        if new.all():
            return Verdict(new, known, (), {})
        comparison = _Comparison(
            foreign={batch.batch for batch in self.ledger} - {batch.batch for batch in self.own},
            history=History(connection, {batch.batch for batch in self.same_place}, list(there)),
            encounters=there,
        )
        rows = np.flatnonzero(np.isin(numbers, numbers[~new]))
        given = columns(rows)
        values = zip(*(given[name].to_pylist() for name in _NAMES), strict=True)
        for row, one, outcome in zip(rows.tolist(), values, given[TARGET].to_pylist(), strict=True):
            number = int(numbers[row])
            if new[row]:
                comparison.encounters[number] = _Encounter(one, outcome)
            else:
                comparison.compare(row, number, int(lines[row]), one, outcome)
        known[comparison.known] = True
        return Verdict(new, known, comparison.corrections, comparison.refused)

    def took(self, numbers: Numbers) -> None:
        """Record the numbers of loaded rows."""
        if self._tables_were_empty:
            self.numbers.update(numbers.tolist())

    def _stored(self, connection: sa.Connection, numbers: Numbers) -> dict[int, _Encounter]:
        """Return those of the encounters that are in the tables, by number."""
        if self._tables_were_empty:
            return _read(connection, sorted(self.numbers.intersection(numbers.tolist())))
        return {} if self._source_is_free_of_repeats else _read(connection, numbers.tolist())


@dataclass(slots=True)
class _Comparison:
    """Compares rows, one after the other, with what is known of their encounters."""

    foreign: set[int]
    """The batches of other sources."""
    history: History
    encounters: dict[int, _Encounter]
    known: list[int] = field(default_factory=list)
    corrections: list[Correction] = field(default_factory=list)
    refused: dict[int, str] = field(default_factory=dict)

    def compare(self, row: int, number: int, line: int, values: tuple[object, ...], outcome: str) -> None:
        """Sort one row of an encounter that is known."""
        stored = self.encounters[number]
        another_source = stored.batch in self.foreign
        if stored.values != values and another_source:
            self.refused[row] = f"encounter_id: differs from the row of batch {stored.batch}, which is kept"
        elif stored.values != values:
            self.refused[row] = _TWICE
        elif outcome not in {stored.outcome, PENDING} and not self.history.is_older(number, line, outcome):
            self.known.append(row)
            self.corrections.append(Correction(row, number, stored.outcome, outcome))
            self.encounters[number] = _Encounter(values, outcome, stored.batch)
        elif another_source:
            self.known.append(row)
        else:
            self.refused[row] = _TWICE


def _read(connection: sa.Connection, numbers: Sequence[int]) -> dict[int, _Encounter]:
    """Return those of the encounters that are stored, by number."""
    found: dict[int, _Encounter] = {}
    if not numbers:
        return found
    for table in ENCOUNTERS.values():
        wanted = [table.c[name] for name in _NAMES]
        for start in range(0, len(numbers), _IDS_AT_ONCE):
            chosen = databases.one_of(table.c.encounter_id, numbers[start : start + _IDS_AT_ONCE])
            query = sa.select(*wanted, table.c[TARGET], table.c.batch).where(chosen)
            for *values, outcome, batch in connection.execute(query):
                found[values[0]] = _Encounter(tuple(values), outcome, batch)
    return found
