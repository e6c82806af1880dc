import threading
from concurrent import futures
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa

from readmission_data import databases
from readmission_data.clean import cohort, fitting, selection, tables, tasks
from readmission_data.clean.tables import read_lineage, read_processed
from readmission_data.errors import ProcessedError, RawDataEmptyError, StagingError
from readmission_data.raw.load import load_next
from readmission_data.raw.split import Split
from readmission_data.raw.tables import ENCOUNTERS, read_split

from .conftest import checksums, make_settings, table_names


def read(settings):
    with databases.engine(settings.clean_url) as engine, engine.connect() as connection:
        return read_processed(connection)


def read_cohort(settings, split):
    with databases.engine(settings.raw_url) as engine, engine.connect() as connection:
        frame = read_split(connection, split)
    return frame[cohort.keep(frame)].reset_index(drop=True)


def test_the_tables_hold_what_the_parts_give(loaded):
    stage = tasks.preprocess(loaded, "run")
    processed = read(loaded)

    train = read_cohort(loaded, Split.TRAIN)
    assert stage.train_rows == len(train) == len(processed.train)
    encoding, matrix = fitting.fit(train, loaded.seed)
    chosen = selection.select(
        matrix, cohort.label(train), train["patient_nbr"].to_numpy(), encoding.names, seed=loaded.seed
    )
    names = list(chosen["name"])
    assert list(processed.train.columns) == ["encounter_id", "readmitted_30d", *names]
    columns = [encoding.names.index(name) for name in names]
    np.testing.assert_array_equal(processed.train[names].to_numpy(), matrix[:, columns])
    np.testing.assert_array_equal(processed.train["readmitted_30d"], cohort.label(train))

    for split, found in ((Split.VALIDATION, processed.validation), (Split.TEST, processed.test)):
        frame = read_cohort(loaded, split)
        np.testing.assert_array_equal(found["encounter_id"], frame["encounter_id"])
        np.testing.assert_array_equal(found["readmitted_30d"], cohort.label(frame))
        np.testing.assert_array_equal(found[names].to_numpy(), encoding.transform(frame)[:, columns])
        # The encoding stored as rows computes the same features.
        np.testing.assert_array_equal(found[names].to_numpy(), processed.encoding.transform(frame))

    info = processed.feature_info
    assert list(info["rank"]) == list(range(1, 51))
    assert list(info["name"]) == names
    np.testing.assert_array_equal(info["score"], chosen["score"])
    features = {feature.name: feature for feature in encoding.features}
    assert list(info["source_column"]) == [features[name].source_column for name in names]
    assert processed.lineage.batches == (1,)
    assert processed.lineage.dataset == "synthetic"
    assert processed.lineage.cohort_version == cohort.COHORT_VERSION


def test_the_same_batches_give_the_same_bytes_on_every_database(loaded, tmp_path, sample):
    tasks.preprocess(loaded, "run")
    first = checksums(loaded)
    stage = tasks.preprocess(loaded, "again")
    assert checksums(loaded) == first
    # A single task can be run again too.
    tasks.save(loaded, tasks.select_features(loaded, stage))
    assert checksums(loaded) == first
    assert table_names(loaded) == set(tables.NAMES)

    other = make_settings(
        tmp_path / "other", sample, f"sqlite:///{tmp_path}/o1.db", f"sqlite:///{tmp_path}/o2.db"
    )
    load_next(other)
    tasks.preprocess(other, "run")
    assert checksums(other) == first


def test_a_new_batch_is_taken_in(loaded):
    tasks.preprocess(loaded, "one")
    before = read(loaded)
    load_next(loaded)
    tasks.preprocess(loaded, "two")
    after = read(loaded)
    assert (before.lineage.batches, after.lineage.batches) == ((1,), (1, 2))
    assert set(before.train["encounter_id"]) < set(after.train["encounter_id"])
    # The patients of validation and test never change.
    np.testing.assert_array_equal(before.validation["encounter_id"], after.validation["encounter_id"])
    np.testing.assert_array_equal(before.test["readmitted_30d"], after.test["readmitted_30d"])


def test_labels_of_validation_and_test_reach_nothing_that_is_fitted(loaded):
    tasks.preprocess(loaded, "one")
    before = checksums(loaded)
    with databases.engine(loaded.raw_url) as engine, engine.begin() as connection:
        for split in (Split.VALIDATION, Split.TEST):
            table = ENCOUNTERS[split]
            turned = sa.case((table.c.readmitted == "<30", "NO"), else_="<30")
            connection.execute(sa.update(table).values(readmitted=turned))
    tasks.preprocess(loaded, "two")
    after = checksums(loaded)
    same = {name for name in tables.NAMES if before[name] == after[name]}
    changed = {tables.PROCESSED[Split.VALIDATION], tables.PROCESSED[Split.TEST]}
    assert same == set(tables.NAMES) - changed
    assert read(loaded).validation["readmitted_30d"].mean() > 0.5


def test_before_the_first_batch_there_is_one_clear_line(settings):
    with pytest.raises(RawDataEmptyError, match="RawData holds no batch yet"):
        tasks.preprocess(settings, "run")
    with databases.engine(settings.clean_url) as engine, engine.connect() as connection:
        assert read_lineage(connection) is None
        with pytest.raises(ProcessedError, match="run `preprocess` first"):
            read_processed(connection)


def test_a_task_without_the_one_before_it_says_so(loaded):
    stage = tasks.load(loaded, "run")
    with pytest.raises(StagingError, match="run the tasks before it again"):
        tasks.save(loaded, stage)


def test_a_save_while_the_tables_are_read_is_seen_whole_or_not_at_all(loaded):
    tasks.preprocess(loaded, "one")
    load_next(loaded)
    stage = tasks.select_features(loaded, tasks.clean(loaded, tasks.load(loaded, "two")))
    before = read(loaded)
    with databases.engine(loaded.clean_url) as engine, ThreadPoolExecutor(1) as threads:
        with engine.connect() as connection:
            assert read_lineage(connection) == before.lineage
            saving = threads.submit(tasks.save, loaded, stage)
            # Long enough for the save to reach the swap: it waits there (MySQL) or is done (SQLite).
            futures.wait([saving], timeout=5)
            assert saving.done() == (engine.dialect.name == "sqlite")
            seen = read_processed(connection)
        saving.result(timeout=60)
    assert seen.lineage == before.lineage
    for split in Split:
        pd.testing.assert_frame_equal(getattr(seen, split), getattr(before, split))
    pd.testing.assert_frame_equal(seen.encoding.to_frame(), before.encoding.to_frame())
    assert read(loaded).lineage.batches == (1, 2)


def test_readers_never_see_tables_of_two_saves(loaded):
    stages = [tasks.preprocess(loaded, "one")]
    load_next(loaded)
    stages.append(tasks.preprocess(loaded, "two"))
    rows = {(1,): stages[0].train_rows, (1, 2): stages[1].train_rows}
    done = threading.Event()
    seen = set()

    def keep_reading():
        while not done.is_set():
            processed = read(loaded)
            assert len(processed.train) == rows[processed.lineage.batches]
            assert list(processed.train.columns[2:]) == list(processed.encoding.names)
            seen.add(processed.lineage.batches)

    with ThreadPoolExecutor(2) as threads:
        readers = [threads.submit(keep_reading) for _ in range(2)]
        # At least eight times, and until the readers have seen both: on a busy machine they read rarely.
        for turn in range(200):
            tasks.save(loaded, stages[turn % 2])
            if turn >= 7 and (seen == set(rows) or any(reader.done() for reader in readers)):
                break
        done.set()
        for reader in readers:
            reader.result(timeout=60)
    assert seen == set(rows)
