"""The whole public data set, on each database."""

import pytest
import sqlalchemy as sa

from readmission_data import databases
from readmission_data.encounters.columns import COLUMNS, Kind
from readmission_data.raw import ledger
from readmission_data.raw.load import load_all, load_next
from readmission_data.raw.tables import Split, read_split

ROWS = 101_766
# Facts of the file: 0689e7ec… by `awk -F, '{print $3}' diabetic_data.csv | sort | uniq -c` and the like.
RACE_MISSING = 2_273
WITHIN_30_DAYS = 11_357
NO_GLUCOSE_TEST = 96_420

# The formula in the docstring of `assign`, run by MySQL on the stored rows.
_FRACTION = "CONV(LEFT(SHA2(CONCAT(:salt, ':', patient_nbr), 256), 8), 16, 10) / 4294967296"
MISPLACED = {
    Split.TRAIN: f"SELECT COUNT(*) FROM train_data WHERE NOT {_FRACTION} < 0.70",
    Split.VALIDATION: f"SELECT COUNT(*) FROM validation_data WHERE NOT {_FRACTION} BETWEEN 0.70 AND 0.85",
    Split.TEST: f"SELECT COUNT(*) FROM test_data WHERE NOT {_FRACTION} >= 0.85",
}


@pytest.fixture
def loaded(settings, real_dataset):
    return settings(dataset=str(real_dataset))


def test_the_public_data_set_loads_whole(loaded):
    results = list(load_all(loaded))

    assert sum(result.rows_read for result in results) == sum(result.loaded for result in results) == ROWS
    assert [result.train for result in results[:4]] == [15_000] * 4
    assert results[-1].exhausted
    assert load_next(loaded).batch is None

    with databases.engine(loaded.raw_url) as engine, engine.connect() as connection:
        frames = {split: read_split(connection, split) for split in Split}
        assert [batch.dataset_kind for batch in ledger.batches(connection)] == ["uci"] * len(results)
        if engine.dialect.name == "mysql":
            for split in Split:
                assert (
                    connection.execute(sa.text(MISPLACED[split]), {"salt": loaded.split_salt}).scalar() == 0
                )

    shares = {split: len(frame) / ROWS for split, frame in frames.items()}
    assert shares == pytest.approx({"train": 0.70, "validation": 0.15, "test": 0.15}, abs=0.01)
    patients = {split: set(frame.patient_nbr) for split, frame in frames.items()}
    assert sum(len(numbers) for numbers in patients.values()) == len(set.union(*patients.values()))
    assert sum(frame.race.isna().sum() for frame in frames.values()) == RACE_MISSING
    assert sum((frame.readmitted == "<30").sum() for frame in frames.values()) == WITHIN_30_DAYS
    # The level "None" is easily misread as a missing value.
    assert sum((frame.max_glu_serum == "None").sum() for frame in frames.values()) == NO_GLUCOSE_TEST
    for frame in frames.values():
        assert frame.encounter_id.is_monotonic_increasing
        assert list(frame.columns) == [column.name for column in COLUMNS]
        for column in COLUMNS:
            if column.kind in {Kind.IDENTIFIER, Kind.INTEGER}:
                assert frame[column.name].dtype == "int64"
            else:
                assert frame[column.name].isna().any() <= column.missing
