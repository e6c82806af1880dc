"""The rows that a server scores before it serves a version."""

import pandas as pd

from readmission_data.encounters.columns import MISSING, PREDICTORS
from readmission_data.model_version import golden, parity, version_folder

from .conftest import Sample


def test_rows_are_the_same_for_the_same_seed(sample: Sample) -> None:
    first, second = (golden.draw(sample.train, 64, 1) for _ in range(2))
    pd.testing.assert_frame_equal(first, second)
    assert not first.equals(golden.draw(sample.train, 64, 2))


def test_rows_hold_missing_unknown_and_odd_values(sample: Sample) -> None:
    rows = golden.draw(sample.train, golden.ROWS, 1)
    assert list(rows) == [column.name for column in PREDICTORS]
    assert not rows.isna().any(axis=None)
    texts = rows.select_dtypes(object)
    assert (texts == MISSING).any(axis=None)
    assert (texts == golden.UNKNOWN_LEVEL).any(axis=None)
    assert rows[["diag_1", "diag_2", "diag_3"]].isin(["1000", "V99.9", "007", ""]).any(axis=None)


def test_no_row_is_a_patient(sample: Sample) -> None:
    """Each field is drawn independently: no row has all or most fields of one encounter."""
    rows = golden.draw(sample.train, golden.ROWS, 1)
    names = [
        name for name in rows if sample.train[name].nunique() > 8 and name not in {"payer_code", "diag_3"}
    ]
    real = {tuple(row) for row in sample.train[names].astype(str).to_numpy()}
    drawn = {tuple(row) for row in rows[names].astype(str).to_numpy()}
    assert not real & drawn


def test_probabilities_are_those_of_scikit_learn(sample: Sample, models: dict) -> None:
    golden_rows = version_folder.golden_rows(sample.encoding, models["lightgbm"], sample.train, 9)
    assert len(golden_rows.rows) == 64
    assert golden_rows.tolerance == 1e-6
    frame = pd.DataFrame(
        [
            dict(zip(sample.encoding.numeric, row.numeric, strict=True))
            | dict(zip(sample.encoding.categorical, row.categorical, strict=True))
            for row in golden_rows.rows
        ]
    )
    expected = parity.risk(sample.encoding, models["lightgbm"], frame)
    assert [row.probability for row in golden_rows.rows] == expected.tolist()
