"""The writer and its spool if a response is lost."""

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


def _only(files):
    (path,) = files.files
    return path.rsplit("/", 1)[1]
