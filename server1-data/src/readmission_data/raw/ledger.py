"""The ledger of RawData: the content of each batch, and the start of the next one."""

from dataclasses import asdict, dataclass
from datetime import datetime

import sqlalchemy as sa

from readmission_data.raw.tables import BATCH_INFO


@dataclass(frozen=True, slots=True)
class Batch:
    """One load that added something. Times are UTC, without a time zone.

    `rows_read` is the sum of the rows of each split, the known and the rejected ones; rows that only bring
    another outcome are known. `next_cursor` and `next_line` say where the source continues.
    """

    batch: int
    source_kind: str
    source_name: str
    source_sha256: str
    dataset_kind: str
    next_cursor: str
    next_line: int
    repeats_possible: bool
    rows_read: int
    train_rows: int
    validation_rows: int
    test_rows: int
    known_rows: int
    rejected_rows: int
    started: datetime
    finished: datetime

    @property
    def loaded_rows(self) -> int:
        """Rows that entered the tables."""
        return self.train_rows + self.validation_rows + self.test_rows


def batches(connection: sa.Connection) -> list[Batch]:
    """Return the ledger, oldest batch first; empty if nothing was ever loaded."""
    if not sa.inspect(connection).has_table(BATCH_INFO.name):
        return []
    rows = connection.execute(sa.select(BATCH_INFO).order_by(BATCH_INFO.c.batch))
    return [Batch(**row._mapping) for row in rows]  # noqa: SLF001 - SQLAlchemy's public name for it


def enter(connection: sa.Connection, batch: Batch) -> None:
    """Write a batch's entry in the transaction that inserts its rows."""
    connection.execute(sa.insert(BATCH_INFO), asdict(batch))
