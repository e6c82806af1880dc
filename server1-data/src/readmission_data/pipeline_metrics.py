"""Metrics of the data for Prometheus: gauges sent to StatsD next to Airflow's own metrics.

Each value is read from the ledger or the tables, never incremented, so an exporter that was restarted is
complete again after the next run. If Airflow sends no metrics, these calls do nothing.
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
    """Send the metrics of RawData. `exhausted` is true if the source had nothing more.

    A file ends, and so do the public data set and the sample, even if a feed serves them. A feed of other
    data that has nothing new may have something new tomorrow, or be broken.
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
    """Send the number of rows of each processed table of CleanData."""
    with databases.engine(settings.clean_url) as engine, engine.connect() as connection:
        for split, name in PROCESSED.items():
            count = connection.scalar(sa.select(sa.func.count()).select_from(sa.table(name)))
            stats.gauge("readmission.processed.rows", int(count or 0), tags={"split": str(split)})
