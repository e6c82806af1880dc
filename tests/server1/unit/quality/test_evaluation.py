"""The partition of encounters: no patient on both sides, and no future encounters in train."""

import numpy as np
import pandas as pd
import pytest

from readmission_data.settings import DataSettings
from readmission_quality import encounters, evaluation, pipelines


@pytest.fixture(scope="module")
def cohort(sample, tmp_path_factory):
    settings = DataSettings(dataset=str(sample), cache_dir=tmp_path_factory.mktemp("cache"))
    return encounters.read(settings)


def test_the_cohort_is_whole_and_in_order(cohort, sample):
    raw = pd.read_csv(sample, dtype=str, keep_default_na=False)
    kept = raw[~raw["discharge_disposition_id"].isin(["11", "13", "14", "19", "20", "21"])]
    assert len(cohort) == len(kept)
    assert cohort.frame["encounter_id"].is_monotonic_increasing
    assert cohort.labels.sum() == (kept["readmitted"] == "<30").sum()
    counts = raw["patient_nbr"].astype(np.int64).value_counts()
    assert (cohort.visits == counts[cohort.patients].to_numpy()).all()
    assert "split" not in cohort.frame


def test_no_patient_is_in_two_folds(cohort):
    folds = evaluation.fold_numbers(cohort.patients, 5, seed=1)
    assert set(folds) == set(range(5))
    per_patient = pd.Series(folds).groupby(cohort.patients).nunique()
    assert (per_patient == 1).all()
    assert np.bincount(folds).min() > 0.8 * len(folds) / 5


def parted(monkeypatch, cohort, call):
    """Return the train and test frames that a partition passes to the pipeline."""
    seen = {}

    def prepare(train, test, seed):
        seen.update(train=train, test=test)
        return original(train, test, seed)

    original = pipelines.prepare
    monkeypatch.setattr(pipelines, "prepare", prepare)
    held_out = call(cohort)
    assert held_out.train_rows == len(seen["train"])
    assert len(held_out.scored.labels) == len(seen["test"])
    return seen["train"], seen["test"]


def test_the_temporal_test_is_about_the_last_encounters(monkeypatch, cohort):
    train, test = parted(
        monkeypatch,
        cohort,
        lambda rows: evaluation.temporal(rows, ("lightgbm",), 1, patients_apart=True)["lightgbm"],
    )
    assert len(test) == round(0.15 * len(cohort))
    assert train["encounter_id"].max() < test["encounter_id"].min()
    assert not set(train["patient_nbr"]) & set(test["patient_nbr"])


def test_the_product_split_is_the_products(monkeypatch, cohort):
    train, test = parted(monkeypatch, cohort, lambda rows: evaluation.product_split(rows, 1))
    shares = np.array([len(train), len(test)]) / len(cohort)
    assert shares == pytest.approx([0.70, 0.15], abs=0.03)
    assert not set(train["patient_nbr"]) & set(test["patient_nbr"])
