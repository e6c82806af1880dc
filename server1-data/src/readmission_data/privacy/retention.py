"""Delete data that is older than the site's retention, a few thousand rows at a time.

Each part is a short transaction that finds its rows by primary key, so it locks only those that go, and rests
afterwards as long as it took: loads and predictions continue.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import sqlalchemy as sa

from readmission_data import databases
from readmission_data.errors import ErasureError
from readmission_data.monitoring.prediction_log import OUTCOME_CORRECTIONS, OUTCOMES, PREDICTIONS
from readmission_data.raw import ledger, tables
from readmission_data.settings import DataSettings

_ROWS_AT_ONCE: Final = 5_000


@dataclass(frozen=True, slots=True)
class Removed:
    """How many rows a run deleted; None for what the settings keep for ever."""

    predictions: int | None
    outcomes: int | None
    rejected: int | None
    raw: int | None


def retain(settings: DataSettings, now: datetime | None = None) -> Removed:
    """Delete what is older than the settings `keep_…_days`. It can be killed and run again at any time.

    `now` is UTC without a time zone. CleanData follows with the next preprocessing.
    """
    today = now or datetime.now(UTC).replace(tzinfo=None)
    predictions = outcomes = None
    if settings.keep_predictions_days is not None:
        if settings.prediction_log_url is None:
            raise ErasureError("READMISSION_PREDICTION_LOG_URL is not set: the old predictions would remain")
        before = today - timedelta(days=settings.keep_predictions_days)
        with databases.engine(settings.prediction_log_url) as engine:
            predictions = _expire(engine, PREDICTIONS, PREDICTIONS.c.predicted_at, before)
            outcomes = _expire(engine, OUTCOMES, OUTCOMES.c.received_at, before)
            _expire(engine, OUTCOME_CORRECTIONS, OUTCOME_CORRECTIONS.c.received_at, before)
    rejected = raw = None
    with databases.engine(settings.raw_url) as engine:
        with engine.connect() as connection:
            batches = ledger.batches(connection)
        if settings.keep_rejected_days is not None:
            old = _finished(batches, today - timedelta(days=settings.keep_rejected_days))
            rejected = _delete_rejected(engine, old)
        if settings.keep_raw_days is not None:
            old = _finished(batches, today - timedelta(days=settings.keep_raw_days))
            raw = sum(_delete_encounters(engine, table, old) for table in tables.ENCOUNTERS.values())
    return Removed(predictions, outcomes, rejected, raw)


def _finished(batches: Sequence[ledger.Batch], before: datetime) -> list[int]:
    return [batch.batch for batch in batches if batch.finished < before]


def _expire(
    engine: sa.Engine, table: sa.TableClause, moment: sa.ColumnClause[datetime], before: datetime
) -> int:
    """Delete the old rows of a table whose ids rise with time, from its start to the first part without one.

    A row that came late, from the spool, is behind newer ones: it goes when those around it go.
    """
    count = 0
    if not sa.inspect(engine).has_table(table.name):
        return count
    for rows in databases.pages(engine, table.c.id, moment, rows=_ROWS_AT_ONCE):
        old = [row[0] for row in rows if row[1] < before]
        if not old:
            break
        count += _delete(engine, table, table.c.id, old)
    return count


def _delete_rejected(engine: sa.Engine, batches: Sequence[int]) -> int:
    table = tables.REJECTED_ROWS
    count = 0
    for batch in batches:
        while True:
            query = sa.select(table.c.line_number).where(table.c.batch == batch)
            with engine.connect() as connection:
                lines = list(connection.execute(query.limit(_ROWS_AT_ONCE)).scalars())
            if not lines:
                break
            count += _delete(engine, table, table.c.line_number, lines, table.c.batch == batch)
    return count


def _delete_encounters(engine: sa.Engine, table: sa.Table, batches: Sequence[int]) -> int:
    gone = set(batches)
    if not gone or not sa.inspect(engine).has_table(table.name):
        return 0
    count = 0
    for rows in databases.pages(engine, table.c.encounter_id, table.c.batch, rows=_ROWS_AT_ONCE):
        if old := [row[0] for row in rows if row[1] in gone]:
            count += _delete(engine, table, table.c.encounter_id, old)
    return count


def _delete(
    engine: sa.Engine,
    table: sa.TableClause,
    key: sa.ColumnElement[int],
    values: Sequence[int],
    *conditions: sa.ColumnElement[bool],
) -> int:
    began = time.monotonic()
    with engine.begin() as connection:
        chosen = databases.one_of(key, values)
        count = connection.execute(sa.delete(table).where(chosen, *conditions)).rowcount
    time.sleep(time.monotonic() - began)
    return count
