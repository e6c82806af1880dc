"""Load the next batch of encounters into RawData."""

import logging
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa

from readmission_data import databases, dataset
from readmission_data.errors import NothingLoadedError, ReadmissionDataError
from readmission_data.raw import ledger, tables, tombstones
from readmission_data.raw.feed import FeedSource
from readmission_data.raw.intake import Intake
from readmission_data.raw.repeats import Seen
from readmission_data.raw.sources import FileSource, Source
from readmission_data.raw.split import Split
from readmission_data.settings import DataSettings

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What one load brought. `batch` is None when the source had nothing new.

    `rows_read` is the sum of train, validation, test, known and rejected rows; those of erased patients count
    as known. `corrected` of the known rows brought another outcome. `exhausted` means that the source has no
    more.
    """

    batch: int | None
    source: str
    rows_read: int = 0
    train: int = 0
    validation: int = 0
    test: int = 0
    known: int = 0
    corrected: int = 0
    rejected: int = 0
    exhausted: bool = True

    @property
    def loaded(self) -> int:
        """Rows that entered the tables."""
        return self.train + self.validation + self.test


def load_next(settings: DataSettings) -> LoadResult:
    """Load the next batch, or find nothing new.

    Rows, rejected rows and their ledger line commit together: a load that is killed leaves nothing, and one
    that loses its connection is retried completely. Two loads at once take turns. Raise a
    `ReadmissionDataError` if the source cannot be read, and `NothingLoadedError` if a source's first batch
    has no valid row; its rows are then in `rejected_rows`.
    """
    with closing(load_all(settings)) as results:
        return next(results)


def load_all(settings: DataSettings) -> Generator[LoadResult]:
    """Load batch after batch; the last result is the one that found nothing new or the source exhausted."""
    source = _open_source(settings)
    with databases.engine(settings.raw_url) as engine:
        exhausted = False
        while not exhausted:
            result = databases.tries()(_load_alone, engine, source, settings)
            yield result
            exhausted = result.exhausted


def _open_source(settings: DataSettings) -> Source:
    if settings.source == "file":
        return FileSource(dataset.find(settings), settings.batch_size)
    if settings.feed_url is None:
        raise ReadmissionDataError("READMISSION_SOURCE is feed, but READMISSION_FEED_URL names no address")
    return FeedSource(settings.feed_url, settings.batch_size, settings.feed_token)


def _load_alone(engine: sa.Engine, source: Source, settings: DataSettings) -> LoadResult:
    with databases.exclusive(engine, "raw") as connection:
        return _load(connection, source, settings)


def _load(connection: sa.Connection, source: Source, settings: DataSettings) -> LoadResult:
    started = _now()
    with connection.begin():
        tables.create(connection)
    with connection.begin():
        earlier = ledger.batches(connection)
        delivery = source.deliver(earlier)
        number = earlier[-1].batch + 1 if earlier else 1
        same_place = [
            batch for batch in earlier if (batch.source_kind, batch.source_name) == (source.kind, source.name)
        ]
        seen = Seen(earlier, delivery.earlier, same_place)
        erased = tombstones.erased(connection, settings)
        intake = Intake(connection, delivery, number, settings.split_salt, seen, erased)
        intake.run()
        if intake.rows_read == 0:
            log.info("%s: nothing new", source.name)
            return LoadResult(None, source.name, exhausted=intake.exhausted)
        batch = ledger.Batch(
            batch=number,
            source_kind=source.kind,
            source_name=source.name,
            source_sha256=delivery.sha256,
            dataset_kind=delivery.dataset_kind,
            next_cursor=intake.delivery.cursor(intake.offset),
            next_line=intake.line_number,
            repeats_possible=seen.repeats_possible(),
            rows_read=intake.rows_read,
            train_rows=intake.taken[Split.TRAIN],
            validation_rows=intake.taken[Split.VALIDATION],
            test_rows=intake.taken[Split.TEST],
            known_rows=intake.known,
            rejected_rows=intake.rejected,
            started=started,
            finished=_now(),
        )
        ledger.enter(connection, batch)
    return _reported(batch, intake)


def _reported(batch: ledger.Batch, intake: Intake) -> LoadResult:
    result = LoadResult(
        batch=batch.batch,
        source=batch.source_name,
        rows_read=batch.rows_read,
        train=batch.train_rows,
        validation=batch.validation_rows,
        test=batch.test_rows,
        known=batch.known_rows,
        corrected=intake.corrected,
        rejected=batch.rejected_rows,
        exhausted=intake.exhausted,
    )
    if result.rejected:
        log.warning(
            "batch %d: %d rows rejected, the first at %s", batch.batch, result.rejected, intake.first_reason
        )
    if not intake.delivery.earlier and result.rejected == result.rows_read:
        raise NothingLoadedError(
            f"{batch.source_name}: not one of {result.rows_read} rows could load; all are in rejected_rows, "
            f"the first is {intake.first_reason}"
        )
    log.info(
        "batch %d: %d rows read, %d loaded, %d outcomes changed",
        batch.batch,
        result.rows_read,
        result.loaded,
        result.corrected,
    )
    return result


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
