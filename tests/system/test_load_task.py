"""The end of `load_raw_data`'s task: its event starts the next DAG, or there is no event."""

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from readmission_data import pipeline_metrics
from readmission_data.clean import tasks as clean_tasks
from readmission_data.dataset import synthetic
from readmission_data.settings import DataSettings
from readmission_data.tasks import load_batches
from support import csv_lines


class DiedError(Exception):
    """Simulates the end of the task's process."""


@pytest.fixture
def dataset(tmp_path, monkeypatch):
    """The path of a data set that the test writes, and empty databases."""
    path = tmp_path / "d.csv"
    for key, value in {
        "DATASET": str(path),
        "RAW_URL": f"sqlite:///{tmp_path / 'raw.db'}",
        "CLEAN_URL": f"sqlite:///{tmp_path / 'clean.db'}",
        "STAGING_DIR": str(tmp_path / "staging"),
        "CACHE_DIR": str(tmp_path / "cache"),
        "BATCH_SIZE": "300",
    }.items():
        monkeypatch.setenv(f"READMISSION_{key}", value)
    return path


def test_batches_that_a_dead_try_told_nobody_of_are_told_by_the_next(dataset, monkeypatch):
    synthetic.write(dataset, encounters=1_000, seed=3)

    def die(*_, **__):
        raise DiedError

    with monkeypatch.context() as dying:
        dying.setattr(pipeline_metrics, "report_raw", die)
        with pytest.raises(DiedError):
            load_batches(everything=True, again=False)

    # Another run may find CleanData at work on them.
    with pytest.raises(AirflowSkipException):
        load_batches(everything=True, again=False)
    assert load_batches(everything=True, again=True) == {"batches": []}

    clean_tasks.preprocess(DataSettings(), "run")
    with pytest.raises(AirflowSkipException):
        load_batches(everything=True, again=True)


def test_a_source_without_one_good_row_fails_at_once_and_each_time(dataset):
    csv_lines.write(dataset, [csv_lines.line(1, gender="SECRET")])
    with pytest.raises(AirflowFailException, match="not one of 1 rows could load; all are in rejected_rows"):
        load_batches(everything=False, again=False)

    # As after a task that died before it could report.
    with pytest.raises(AirflowFailException, match="RawData has no valid row; all rows are in rejected_rows"):
        load_batches(everything=False, again=False)

    csv_lines.write(dataset, [csv_lines.line(1)])
    assert load_batches(everything=False, again=False) == {"batches": [2]}
