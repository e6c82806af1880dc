"""Both databases are emptied, on SQLite and on MySQL, and can be filled again."""

import sqlalchemy as sa

from readmission_data import databases
from readmission_data.clean import tasks
from readmission_data.clean.tables import read_lineage
from readmission_data.dataset import synthetic
from readmission_data.emptying import empty
from readmission_data.raw import ledger, load
from readmission_data.settings import DataSettings


def test_emptied_databases_hold_nothing_and_fill_again(database_url, tmp_path):
    synthetic.write(tmp_path / "sample.csv", encounters=1_000, seed=2)
    # One database for both, as a small site may have it.
    settings = DataSettings(
        dataset=str(tmp_path / "sample.csv"),
        raw_url=database_url,
        clean_url=database_url,
        staging_dir=tmp_path / "staging",
        cache_dir=tmp_path / "cache",
    )
    assert set(empty(settings).values()) == {0}
    list(load.load_all(settings))
    tasks.preprocess(settings, "run")
    removed = empty(settings)
    assert removed["train_data"] + removed["validation_data"] + removed["test_data"] == 1_000
    with databases.engine(settings.raw_url) as engine, engine.connect() as connection:
        assert read_lineage(connection) is None
        connection.rollback()
        assert ledger.batches(connection) == []
        assert connection.scalar(sa.text("SELECT count(*) FROM train_data")) == 0
    assert sum(result.loaded for result in load.load_all(settings)) == 1_000
