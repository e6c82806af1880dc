"""The table by group, counted by hand."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from readmission_data.training.subgroups import SMALLEST, subgroups


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    n = 400
    groups = pd.DataFrame(
        {
            "race": pd.array(["Caucasian"] * 200 + ["Asian"] * 100 + [None] * 100, dtype="str"),
            "gender": ["Female"] * 397 + ["Unknown/Invalid"] * 3,
            "age": ["[0-10)"] * 50 + ["[70-80)"] * 350,
        }
    )
    labels = (rng.random(n) < 0.3).astype(np.int8)
    labels[:50] = 0
    scores = np.clip(0.3 + 0.2 * labels + rng.normal(size=n) * 0.2, 0.01, 0.99)
    found = subgroups(
        labels, scores, groups, threshold=0.5, clusters=np.arange(n) // 2, samples=100, seed=1
    ).set_index(["column", "level"])
    return found, labels, scores, groups


def test_has_a_row_for_all_and_for_each_level_a_missing_one_too(table):
    assert table[0].index.tolist() == [
        ("all", "all"),
        ("race", "?"),
        ("race", "Asian"),
        ("race", "Caucasian"),
        ("gender", "Female"),
        ("gender", "Unknown/Invalid"),
        ("age", "[0-10)"),
        ("age", "[70-80)"),
    ]


def test_each_row_is_about_its_own_encounters(table):
    found, labels, scores, groups = table
    mask = (groups["race"] == "Asian").to_numpy()
    row = found.loc[("race", "Asian")]
    flag = scores[mask] >= 0.5
    assert row["encounters"] == 100
    assert row["positives"] == labels[mask].sum()
    assert row["observed_rate"] == pytest.approx(labels[mask].mean())
    assert row["mean_risk"] == pytest.approx(scores[mask].mean())
    assert row["flagged"] == pytest.approx(flag.mean())
    assert row["recall"] == pytest.approx(flag[labels[mask] == 1].mean())
    assert row["precision"] == pytest.approx(labels[mask][flag].mean())
    assert row["roc_auc"] == pytest.approx(roc_auc_score(labels[mask], scores[mask]))
    assert row["roc_auc_low"] < row["roc_auc"] < row["roc_auc_high"]


def test_the_levels_of_a_column_add_up(table):
    found = table[0]
    for column in ("race", "gender", "age"):
        assert found.loc[column, "encounters"].sum() == found.loc[("all", "all"), "encounters"]


def test_a_group_without_positives_has_no_area(table):
    row = table[0].loc[("age", "[0-10)")]
    assert row["positives"] == 0
    assert np.isnan([row["roc_auc"], row["roc_auc_low"], row["recall"]]).all()


def test_a_handful_of_persons_is_counted_and_not_described(table):
    row = table[0].loc[("gender", "Unknown/Invalid")]
    assert row["encounters"] == 3 < SMALLEST
    assert row.drop("encounters").isna().all()
