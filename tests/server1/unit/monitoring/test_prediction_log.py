import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from readmission_data.errors import MonitoringError
from readmission_data.monitoring import prediction_log
from readmission_data.settings import NotebookSettings

CONTRACT = Path(__file__).parents[4] / "docs" / "contracts" / "prediction_log.sql"
MODEL = "some_model"


@pytest.fixture
def log(tmp_path):
    """Call it with (request_id, number) of each prediction and of each outcome for the settings of a log."""

    def write(predictions, outcomes=(), **told):
        path = tmp_path / "predictions.db"
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.executescript(CONTRACT.read_text())
            connection.executemany(
                "INSERT INTO predictions (request_id, number, predicted_at, model, version, probability, "
                "class, inputs) VALUES (?, ?, '2026-01-01 12:00:00.5', ?, '3', 0.2, 1, ?)",
                [(*name, MODEL, '{"age": "[50-60)"}') for name in predictions],
            )
            connection.executemany(
                "INSERT INTO outcomes (request_id, number, readmitted, received_at)"
                " VALUES (?, ?, ?, '2026-02-01 12:00:00')",
                outcomes,
            )
        return NotebookSettings(prediction_log_url=f"sqlite:///{path}", **told)

    return write


def test_an_outcome_finds_its_prediction(log):
    found = prediction_log.read(log([("a", 0), ("a", 1), ("b", 0)], [("a", 1, True), ("c", 0, True)]), MODEL)
    assert found.predictions["readmitted"].fillna(-1).tolist() == [-1, 1, -1]
    assert found.predictions["predicted_at"].dt.year.tolist() == [2026] * 3
    assert found.inputs.to_dict("list") == {"age": ["[50-60)"] * 3}


def test_of_two_predictions_of_one_name_the_later_has_the_outcome(log):
    found = prediction_log.read(log([("a", 0), ("a", 0)], [("a", 0, False)]), MODEL)
    assert found.predictions["readmitted"].fillna(-1).tolist() == [-1, 0]


def test_the_latest_are_read_oldest_first(log):
    found = prediction_log.read(log([("a", 0), ("b", 0), ("c", 0)], monitored_rows=2), MODEL)
    assert found.predictions["request_id"].tolist() == ["b", "c"]


def test_a_version_is_picked(log):
    found = prediction_log.read(log([("a", 0)]), MODEL)
    assert len(found.of_version("3").inputs) == 1
    assert len(found.of_version("4").inputs) == 0


def test_a_log_without_predictions_of_the_model_is_told(log):
    with pytest.raises(MonitoringError, match="has no predictions of another"):
        prediction_log.read(log([("a", 0)]), "another")


def test_a_database_that_is_no_log_is_told_without_its_password(tmp_path):
    settings = NotebookSettings(prediction_log_url=f"sqlite:///{tmp_path / 'empty.db'}")
    with pytest.raises(MonitoringError, match="names server 3's log"):
        prediction_log.read(settings, MODEL)
    away = NotebookSettings(prediction_log_url="mysql+pymysql://user:secret@127.0.0.1:1/PredictionLog")
    with pytest.raises(MonitoringError, match="cannot be read") as told:
        prediction_log.read(away, MODEL)
    assert "secret" not in str(told.value)


def test_without_a_log_the_setting_is_named():
    with pytest.raises(MonitoringError, match="READMISSION_PREDICTION_LOG_URL is not set"):
        prediction_log.read(NotebookSettings(), MODEL)
