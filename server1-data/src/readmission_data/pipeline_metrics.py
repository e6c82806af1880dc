"""What Prometheus is told of the data: gauges sent to StatsD among Airflow's own metrics.

Each is read anew from the ledger or the tables, never counted on: an exporter that was restarted knows
everything again after the next run. Where Airflow sends no metrics these calls do nothing.
"""

from datetime import UTC
from typing import Final

import sqlalchemy as sa
from airflow.sdk.observability import stats

from readmission_data import databases
from readmission_data.clean.tables import PROCESSED
from readmission_data.raw import ledger
from readmission_data.settings import DataSettings

_KINDS: Final = ("train", "validation", "test", "known", "rejected")


def report_raw(settings: DataSettings, *, exhausted: bool) -> None:
    """Send what RawData holds. `exhausted` tells that the source had nothing more.

    A file can be read to its end, and so can the public data set and the sample, whoever hands them out. A
    feed of other data without news may have news tomorrow, or be broken.
    """
    with databases.engine(settings.raw_url) as engine, engine.connect() as connection:
        batches = ledger.batches(connection)
    stats.gauge("readmission.raw.batches", len(batches))
    ends = settings.source == "file" or (bool(batches) and batches[-1].dataset_kind != "own")
    stats.gauge("readmission.raw.source_exhausted", int(exhausted and ends))
    if not batches:
        return
    last = batches[-1]
    stats.gauge("readmission.raw.batch_finished", last.finished.replace(tzinfo=UTC).timestamp())
    stats.gauge("readmission.raw.batch_load_seconds", (last.finished - last.started).total_seconds())
    for kind in _KINDS:
        rows = [getattr(batch, f"{kind}_rows") for batch in batches]
        stats.gauge("readmission.raw.rows", sum(rows), tags={"kind": kind})
        stats.gauge("readmission.raw.batch_rows", rows[-1], tags={"kind": kind})


def report_processed(settings: DataSettings) -> None:
    """Send how many rows each processed table of CleanData holds."""
    with databases.engine(settings.clean_url) as engine, engine.connect() as connection:
        for split, name in PROCESSED.items():
            count = connection.scalar(sa.select(sa.func.count()).select_from(sa.table(name)))
            stats.gauge("readmission.processed.rows", int(count or 0), tags={"split": str(split)})
