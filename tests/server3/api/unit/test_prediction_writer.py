"""The writer and its spool when the database fails, or an answer gets lost."""

import pytest
import sqlalchemy as sa

from readmission_api.errors import SharedFilesError
from readmission_api.metrics.instruments import Instruments
from readmission_api.prediction_log.spool import Spool
from readmission_api.prediction_log.tables import LOADED_SLICES, PREDICTIONS, connect, create_tables
from readmission_api.prediction_log.writer import PredictionWriter
from readmission_api.scored import Scored
from readmission_api.shared_files import Entry, SharedFiles


class LosesAnswers(SharedFiles):
    """Stores files in memory; the first upload arrives, and its answer does not."""

    def __init__(self):
        self.files = {}
        self.lost = 0

    def put(self, path, content):
        self.files[path] = content
        if not self.lost:
            self.lost += 1
            raise SharedFilesError("the answer got lost")

    def get(self, path):
        return self.files.get(path)

    def delete(self, path):
        self.files.pop(path, None)

    def list(self, folder):
        return [Entry(path.rsplit("/", 1)[1], len(self.files[path])) for path in self.files if folder in path]


@pytest.mark.parametrize("loaded_before", [False, True])
def test_rows_whose_upload_lost_its_answer_are_written_once(predictor, patient, tmp_path, loaded_before):
    engine = connect(f"sqlite:///{tmp_path / 'log.db'}")
    files = LosesAnswers()
    writer = PredictionWriter(
        engine, Spool(files, Instruments(), limit_bytes=10**9), Instruments(), buffer=100
    )
    row = predictor.patients.read_value(patient)
    writer.offer(Scored(predictor, ["a"], [0], [row], [0.5], 1.0))

    # The database is down: the upload fails after it has arrived.
    (tmp_path / "log.db").mkdir()
    writer._turn()
    assert (writer.state, files.lost, writer.waiting()) == ("failing", 1, 1)
    (tmp_path / "log.db").rmdir()

    # The database is back; in one case another pod has loaded the slice meanwhile.
    if loaded_before:
        create_tables(engine)
        Spool(files, Instruments(), limit_bytes=10**9).load(engine, _only(files), lambda: None)
    writer._next_try = 0.0
    writer._turn()
    assert (writer.state, writer.waiting(), files.files) == ("ok", 0, {})
    with engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(PREDICTIONS)).scalar() == 1
        assert connection.execute(sa.select(sa.func.count()).select_from(LOADED_SLICES)).scalar() == 1


def _no_connection(engine, path):
    """Take the database away, and return what brings it back."""
    engine.dispose()
    path.rename(path.with_suffix(".away"))
    path.mkdir()

    def back():
        path.rmdir()
        path.with_suffix(".away").rename(path)

    return back


def _no_insert(engine, _path):
    """Let the second part of a transaction fail, and return what ends that."""
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER full BEFORE INSERT ON predictions WHEN NEW.number = 120 "
            "BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"
        )

    def back():
        with engine.begin() as connection:
            connection.exec_driver_sql("DROP TRIGGER full")

    return back


@pytest.mark.parametrize("failure", [_no_connection, _no_insert])
@pytest.mark.parametrize("spooled", [False, True])
def test_rows_in_hand_when_the_database_fails_are_written_once(
    predictor, patient, tmp_path, spooled, failure
):
    engine = connect(f"sqlite:///{tmp_path / 'log.db'}")
    files = LosesAnswers()
    files.lost = 1
    spool = Spool(files, Instruments(), limit_bytes=10**9) if spooled else None
    writer = PredictionWriter(engine, spool, Instruments(), buffer=10_000)
    row = predictor.patients.read_value(patient)

    def offer(name, count):
        numbers = list(range(count))
        writer.offer(Scored(predictor, [name] * count, numbers, [row] * count, [0.5] * count, 1.0))
        writer._next_try = 0.0
        writer._turn()

    def logged():
        query = sa.select(PREDICTIONS.c.request_id, PREDICTIONS.c.number)
        with engine.connect() as connection:
            return sorted(map(tuple, connection.execute(query)))

    # Once the tables are there, what the writer takes is in its hand when the failure comes.
    offer("before", 1)
    assert (writer.state, logged()) == ("ok", [("before", 0)])
    back = failure(engine, tmp_path / "log.db")
    for name in ("first", "second"):
        offer(name, 150)
        assert writer.state == "failing"
    assert len(files.files) == (2 if spooled else 0)
    assert writer.waiting() == (0 if spooled else 300)
    back()
    offer("after", 1)
    assert (writer.state, writer.waiting(), files.files) == ("ok", 0, {})
    wanted = [(name, number) for name in ("first", "second") for number in range(150)]
    assert logged() == sorted([*wanted, ("before", 0), ("after", 0)])


def _only(files):
    (path,) = files.files
    return path.rsplit("/", 1)[1]
