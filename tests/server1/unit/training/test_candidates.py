"""Candidates and their search: seeded, unweighted, and readable back without pickle."""

import numpy as np
import pandas as pd
import pytest
import skops.io

from readmission_data.training.candidates import CANDIDATES, TRUSTED_TYPES, Candidate
from readmission_data.training.data import SplitRows
from readmission_data.training.importance import permutation_importance
from readmission_data.training.search import risk, search, settings_to_try

RATE = 0.12


def rows(seed, n=2_500):
    """A signal in the first feature, half of it in the second, none in the third."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, 3)).astype(np.float32)
    odds = np.log(RATE / (1 - RATE)) + features[:, 0] + 0.5 * features[:, 1]
    labels = (rng.random(n) < 1 / (1 + np.exp(-odds))).astype(np.int8)
    return SplitRows(np.arange(n), features, labels, np.arange(n), pd.DataFrame(index=range(n)))


@pytest.fixture(scope="module")
def train():
    return rows(1)


@pytest.fixture(scope="module")
def validation():
    return rows(2)


@pytest.fixture(scope="module", params=CANDIDATES)
def fitted(request, train, validation):
    return search(request.param, train, validation, trials=2, seed=7)


def test_learns_the_signal(fitted, validation):
    assert fitted.average_precision > 2 * validation.labels.mean()


def test_is_unweighted_so_its_mean_risk_is_the_rate(fitted, validation):
    assert risk(fitted.estimator, validation.features).mean() == pytest.approx(
        validation.labels.mean(), abs=0.03
    )


def test_gives_the_same_scores_to_the_last_bit_when_fitted_again(fitted, train, validation):
    again = search(fitted.name, train, validation, trials=2, seed=7)
    assert again.params == fitted.params
    np.testing.assert_array_equal(
        risk(again.estimator, validation.features), risk(fitted.estimator, validation.features)
    )


def test_keeps_the_better_of_its_trials(fitted):
    assert len(fitted.trials) == 2
    assert fitted.average_precision == max(trial.average_precision for trial in fitted.trials)
    chosen = [trial.params for trial in fitted.trials if trial.average_precision == fitted.average_precision]
    assert fitted.params in chosen
    for name, value in fitted.params.items():
        step = fitted.estimator[-1] if hasattr(fitted.estimator, "steps") else fitted.estimator
        assert step.get_params()[name] == value


def test_comes_back_from_skops_with_the_trusted_types_alone(fitted, validation, tmp_path):
    path = tmp_path / "model.skops"
    skops.io.dump(fitted.estimator, path)
    assert set(skops.io.get_untrusted_types(file=path)) <= set(TRUSTED_TYPES)
    loaded = skops.io.load(path, trusted=list(TRUSTED_TYPES))
    np.testing.assert_array_equal(
        risk(loaded, validation.features), risk(fitted.estimator, validation.features)
    )


def test_importance_follows_the_signal(fitted, validation):
    table = permutation_importance(fitted.estimator, validation, ["strong", "weak", "noise"], seed=0)
    assert table["feature"].tolist() == ["strong", "weak", "noise"]
    assert table["importance"].iloc[0] > 0.05
    assert abs(table["importance"].iloc[2]) < 0.02


class TestSettingsToTry:
    candidate = Candidate(CANDIDATES["lightgbm"].build, {"a": 1, "b": 1}, {"a": (1, 2, 3), "b": (1, 2, 3)})

    def test_the_known_good_setting_comes_first_and_none_twice(self):
        for seed in range(20):
            tried = settings_to_try(self.candidate, 5, seed)
            assert tried[0] == self.candidate.first
            assert len({tuple(sorted(params.items())) for params in tried}) == len(tried) == 5

    def test_no_more_are_tried_than_there_are(self):
        assert len(settings_to_try(self.candidate, 100, 0)) == 9

    def test_one_trial_is_the_known_good_setting(self):
        assert settings_to_try(self.candidate, 1, 0) == [self.candidate.first]

    def test_the_seed_decides(self):
        assert settings_to_try(self.candidate, 4, 1) == settings_to_try(self.candidate, 4, 1)
        assert settings_to_try(self.candidate, 4, 1) != settings_to_try(self.candidate, 4, 2)

    @pytest.mark.parametrize("name", CANDIDATES)
    def test_each_candidate_searches_what_it_sets(self, name):
        candidate = CANDIDATES[name]
        assert candidate.first.keys() == candidate.space.keys()
        for setting, value in candidate.first.items():
            assert value in candidate.space[setting], setting
