"""Outcomes that changed after their encounters were loaded: they matured, or a source corrected them."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import sqlalchemy as sa

from readmission_data import bulk, databases
from readmission_data.encounters.columns import TARGET
from readmission_data.raw.split import Split
from readmission_data.raw.tables import ENCOUNTERS, OUTCOME_HISTORY

_IDS_AT_ONCE = 5_000


@dataclass(frozen=True, slots=True)
class Correction:
    """A row, by its index, that gives a known encounter another outcome."""

    row: int
    encounter: int
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class _Change:
    batch: int
    line: int
    before: str


@dataclass(slots=True)
class History:
    """The changes of some encounters' outcomes, read when they are first needed.

    `same_place` are the batches that came from the same path or address as the rows that are judged.
    """

    connection: sa.Connection
    same_place: Collection[int]
    encounters: Sequence[int]
    _changes: dict[int, list[_Change]] | None = field(default=None, init=False)

    def is_older(self, encounter: int, line: int, outcome: str) -> bool:
        """Return whether a row is what a correction has replaced.

        A source that corrects an outcome by another row further down is read from its start once it grows:
        its first row would take the correction back.
        """
        if self._changes is None:
            self._changes = self._read()
        changes = self._changes.get(encounter)
        if not changes:
            return False
        last = changes[-1]
        return (
            last.batch in self.same_place
            and line < last.line
            and any(change.before == outcome for change in changes)
        )

    def _read(self) -> dict[int, list[_Change]]:
        found: dict[int, list[_Change]] = defaultdict(list)
        table = OUTCOME_HISTORY.c
        for start in range(0, len(self.encounters), _IDS_AT_ONCE):
            query = (
                sa.select(table.encounter_id, table.batch, table.line_number, table.outcome_before)
                .where(databases.one_of(table.encounter_id, self.encounters[start : start + _IDS_AT_ONCE]))
                .order_by(table.batch, table.line_number)
            )
            for encounter, batch, line, before in self.connection.execute(query):
                found[encounter].append(_Change(batch, line, before))
        return dict(found)


def correct(
    connection: sa.Connection,
    batch: int,
    corrections: Sequence[Correction],
    lines: Sequence[int],
    splits: Sequence[Split],
) -> None:
    """Change the outcomes of stored encounters, and keep what they were.

    `lines` and `splits` are those of the corrections' rows. Of several corrections of one encounter the last
    one counts.
    """
    last = {found.encounter: (split, found.after) for found, split in zip(corrections, splits, strict=True)}
    changes: dict[tuple[Split, str], list[int]] = defaultdict(list)
    for encounter, change in last.items():
        changes[change].append(encounter)
    for (split, outcome), encounters in changes.items():
        table = ENCOUNTERS[split]
        for start in range(0, len(encounters), _IDS_AT_ONCE):
            chosen = databases.one_of(table.c.encounter_id, encounters[start : start + _IDS_AT_ONCE])
            connection.execute(sa.update(table).where(chosen).values({TARGET: outcome}))
    columns = {
        "encounter_id": [correction.encounter for correction in corrections],
        "batch": [batch] * len(corrections),
        "line_number": lines,
        "outcome_before": [correction.before for correction in corrections],
        "outcome": [correction.after for correction in corrections],
    }
    bulk.insert(connection, OUTCOME_HISTORY, pa.table(columns))
