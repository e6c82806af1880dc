"""The key of a training: equal for equal inputs, different for anything that could change the result."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from readmission_data.settings import DataSettings
from readmission_data.training.lineage import Lineage, frame_digest
from readmission_data.training.result import TrainingResult

LINEAGE = Lineage(
    dataset="uci",
    dataset_sha256="a" * 64,
    batches=(1, 2),
    cohort_version="1",
    split_version="1",
    split_salt_sha256="b" * 64,
    processed_sha256="c" * 64,
    code_sha256="d" * 64,
    git_commit="e" * 40,
    versions={"python": "3.11.2"},
)
KEY = LINEAGE.training_key(DataSettings())


def test_comes_back_from_json():
    assert Lineage.from_json(json.loads(json.dumps(LINEAGE.to_json()))) == LINEAGE


def test_a_result_comes_back_from_json():
    result = TrainingResult("1", "p", "c", "lightgbm", "models:/m-1", 0.2, 0.1, 0.24, "own", "a" * 64, KEY)
    assert TrainingResult.from_json(json.loads(json.dumps(result.to_json()))) == result


@pytest.mark.parametrize(
    "change",
    [
        {"dataset": "synthetic"},
        {"dataset_sha256": "0" * 64},
        {"batches": (1, 2, 3)},
        {"cohort_version": "2"},
        {"split_version": "2"},
        {"processed_sha256": "0" * 64},
        {"code_sha256": "0" * 64},
        {"versions": {"python": "3.12.0"}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_other_data_code_or_packages_make_another_key(change):
    assert replace(LINEAGE, **change).training_key(DataSettings()) != KEY


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"search_trials": 2},
        {"bootstrap_samples": 200},
        {"flagged_fraction": 0.2},
        {"threshold": 0.3},
        {"candidates": ("lightgbm",)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_setting_that_changes_the_result_changes_the_key(change):
    assert LINEAGE.training_key(DataSettings(**change)) != KEY


def test_neither_the_commit_nor_where_things_lie_changes_the_key():
    assert replace(LINEAGE, git_commit="0" * 40).training_key(DataSettings()) == KEY
    assert LINEAGE.training_key(DataSettings(raw_url="sqlite:///elsewhere.db", staging_dir="x")) == KEY


class TestFrameDigest:
    frame = pd.DataFrame({"encounter_id": [1, 2], "a": np.array([0.5, 0.25], dtype=np.float32)})

    def test_is_about_values_and_names(self):
        same = self.frame.copy().set_index(pd.Index([7, 8]))
        assert frame_digest(same) == frame_digest(self.frame)

    @pytest.mark.parametrize(
        "change",
        [
            lambda frame: frame.assign(a=frame["a"] + np.float32(2**-20)),
            lambda frame: frame.iloc[::-1],
            lambda frame: frame.rename(columns={"a": "b"}),
            lambda frame: frame.iloc[:1],
        ],
        ids=["value", "order", "name", "row"],
    )
    def test_sees_every_change(self, change):
        assert frame_digest(change(self.frame)) != frame_digest(self.frame)
