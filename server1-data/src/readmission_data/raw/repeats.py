"""Repeated encounters: in the same delivery, or after an earlier one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import sqlalchemy as sa

from readmission_data.encounters.columns import COLUMNS
from readmission_data.raw.ledger import Batch
from readmission_data.raw.tables import ENCOUNTERS

Numbers = npt.NDArray[np.int64]
_Columns = Callable[[Numbers], pa.Table]
_Stored = tuple[tuple[object, ...], int]
"""An encounter's 50 values, and the number of its batch."""

_IDS_AT_ONCE = 5_000
_NAMES = [column.name for column in COLUMNS]
_TWICE = "encounter_id: repeated in this source; the first row is kept"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The new rows among n rows [n], the exactly known ones [n], and why each other row is rejected."""

    new: npt.NDArray[np.bool_]
    known: npt.NDArray[np.bool_]
    refused: Mapping[int, str]


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

    def judge(self, connection: sa.Connection, numbers: Numbers, columns: _Columns) -> Verdict:
        """Separate new rows from repeated ones; among `numbers` [n], the first occurrence counts.

        `columns` returns the typed rows at some positions, if they must be compared.
        """
        new = np.zeros(len(numbers), dtype=np.bool_)
        new[np.unique(numbers, return_index=True)[1]] = True
        refused = dict.fromkeys(np.flatnonzero(~new).tolist(), _TWICE)
        known = np.zeros(len(numbers), dtype=np.bool_)
        if self._tables_were_empty:
            if not self.numbers.isdisjoint(numbers.tolist()):
                for row in np.flatnonzero(new).tolist():
                    if int(numbers[row]) in self.numbers:
                        new[row] = False
                        refused[row] = _TWICE
        elif not self._source_is_free_of_repeats:
            there = _stored(connection, numbers[new])
            if there:
                self._compare(numbers, columns, there, new, known, refused)
        return Verdict(new, known, refused)

    def took(self, numbers: Numbers) -> None:
        """Record the numbers of loaded rows."""
        if self._tables_were_empty:
            self.numbers.update(numbers.tolist())

    def _compare(
        self,
        numbers: Numbers,
        columns: _Columns,
        there: Mapping[int, _Stored],
        new: npt.NDArray[np.bool_],
        known: npt.NDArray[np.bool_],
        refused: dict[int, str],
    ) -> None:
        foreign = {batch.batch for batch in self.ledger} - {batch.batch for batch in self.own}
        again = np.flatnonzero(new & np.isin(numbers, list(there)))
        rows = zip(*(column.to_pylist() for column in columns(again).select(_NAMES)), strict=True)
        for row, values in zip(again.tolist(), rows, strict=True):
            stored, batch = there[int(numbers[row])]
            new[row] = False
            if batch not in foreign:
                refused[row] = _TWICE
            elif stored == values:
                known[row] = True
            else:
                refused[row] = f"encounter_id: differs from the row of batch {batch}, which is kept"


def _stored(connection: sa.Connection, numbers: Numbers) -> dict[int, _Stored]:
    """Return stored encounters by number: their 50 values and their batch."""
    found: dict[int, _Stored] = {}
    for table in ENCOUNTERS.values():
        wanted = [table.c[name] for name in _NAMES]
        for start in range(0, len(numbers), _IDS_AT_ONCE):
            chosen = numbers[start : start + _IDS_AT_ONCE].tolist()
            # Integers are part of the SQL text, because SQLite limits the number of parameters.
            condition = table.c.encounter_id.in_(
                sa.bindparam("numbers", chosen, expanding=True, literal_execute=True)
            )
            for row in connection.execute(sa.select(*wanted, table.c.batch).where(condition)):
                found[row.encounter_id] = tuple(row[:-1]), int(row.batch)
    return found
