"""What is older than the settings keep it goes, in parts, and nothing else does."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from readmission_data import databases
from readmission_data.errors import ErasureError
from readmission_data.privacy import retention
from readmission_data.raw import load
from readmission_data.settings import DataSettings
from support import csv_lines

CONTRACT = Path(__file__).parents[4] / "docs/contracts/prediction_log.sql"
NOW = datetime(2026, 11, 30, 12)  # noqa: DTZ001 - UTC without a time zone, as in the tables


@pytest.fixture
def settings(database_url, tmp_path, monkeypatch):
    monkeypatch.setattr(retention, "_ROWS_AT_ONCE", 10)
    monkeypatch.setattr(retention.time, "sleep", lambda _seconds: None)
    return DataSettings(
        dataset=str(csv_lines.write(tmp_path / "d.csv", [*csv_lines.lines(60), "torn", "worn"])),
        raw_url=database_url,
        prediction_log_url=database_url,
        batch_size=15,
    )


def fill_log(settings, days):
    """Log a prediction of each age in days, and its outcome a day later."""
    with databases.engine(settings.raw_url) as engine, engine.begin() as connection:
        text = "\n".join(line.partition("--")[0] for line in CONTRACT.read_text().splitlines())
        if engine.dialect.name == "mysql":
            text = text.replace("AUTOINCREMENT", "AUTO_INCREMENT")
        for statement in text.split(";"):
            if statement.strip():
                connection.exec_driver_sql(statement)
        for number, age in enumerate(days):
            at = NOW - timedelta(days=age)
            connection.execute(
                sa.text(
                    "INSERT INTO predictions (request_id, number, predicted_at, model, version, probability, "
                    "class, inputs) VALUES ('r', :n, :at, 'm', '1', 0.1, 0, '{}')"
                ),
                {"n": number, "at": at},
            )
            connection.execute(
                sa.text(
                    "INSERT INTO outcomes (request_id, number, readmitted, received_at) "
                    "VALUES ('r', :n, 1, :at)"
                ),
                {"n": number, "at": at + timedelta(days=1)},
            )


def numbers(settings, table):
    with databases.engine(settings.raw_url) as engine, engine.connect() as connection:
        return list(connection.execute(sa.text(f"SELECT number FROM {table} ORDER BY id")).scalars())


def rows(settings, *tables):
    with databases.engine(settings.raw_url) as engine, engine.connect() as connection:
        return sum(connection.scalar(sa.text(f"SELECT COUNT(*) FROM {table}")) for table in tables)


def test_old_predictions_go_and_their_neighbors_stay(settings):
    # 35 old ones, one that came late from the spool among new ones, and 30 new ones.
    fill_log(settings, [100] * 35 + [5] * 3 + [100] + [5] * 30)
    removed = retention.retain(settings.model_copy(update={"keep_predictions_days": 90}), NOW)
    assert (removed.predictions, removed.outcomes) == (36, 36)
    assert numbers(settings, "predictions") == numbers(settings, "outcomes") == [35, 36, 37, *range(39, 69)]
    assert (removed.rejected, removed.raw) == (None, None)
    again = retention.retain(settings.model_copy(update={"keep_predictions_days": 90}), NOW)
    assert (again.predictions, again.outcomes) == (0, 0)


def test_the_day_decides(settings):
    fill_log(settings, [90.001, 89.999])
    retention.retain(settings.model_copy(update={"keep_predictions_days": 90}), NOW)
    assert numbers(settings, "predictions") == [1]


def test_batches_go_by_their_age(settings):
    list(load.load_all(settings))
    with databases.engine(settings.raw_url) as engine, engine.begin() as connection:
        connection.execute(sa.text("UPDATE batch_info SET finished = '2026-01-01' WHERE batch = 1"))
        connection.execute(sa.text("UPDATE batch_info SET finished = '2026-11-01' WHERE batch > 1"))
        connection.execute(sa.text("UPDATE rejected_rows SET batch = 1 WHERE line_number = 62"))
    splits = ("train_data", "validation_data", "test_data")
    kept = rows(settings, *(f"{split} WHERE batch > 1" for split in splits))
    old = rows(settings, *(f"{split} WHERE batch = 1" for split in splits))
    assert kept > 0
    assert old > 10
    removed = retention.retain(settings.model_copy(update={"keep_rejected_days": 60}), NOW)
    assert (removed.rejected, rows(settings, "rejected_rows"), removed.raw) == (1, 1, None)
    removed = retention.retain(settings.model_copy(update={"keep_raw_days": 60}), NOW)
    assert (removed.raw, rows(settings, *splits)) == (old, kept)
    # The ledger stays: the source goes on where it was, and brings nothing back.
    assert [result.batch for result in load.load_all(settings)] == [None]


def test_nothing_goes_without_a_setting(settings):
    fill_log(settings, [10_000])
    list(load.load_all(settings))
    assert retention.retain(settings, NOW) == retention.Removed(None, None, None, None)
    assert rows(settings, "predictions", "rejected_rows") == 3


def test_the_log_has_to_be_named(settings):
    unnamed = settings.model_copy(update={"prediction_log_url": None, "keep_predictions_days": 1})
    with pytest.raises(ErasureError, match="READMISSION_PREDICTION_LOG_URL"):
        retention.retain(unnamed, NOW)
