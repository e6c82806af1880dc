"""The coverage of intervals, and differences on the same rows."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from readmission_data.training.bootstrap import intervals, paired_bootstrap, resample_weights


def drawn(rng, n, shift=1.0):
    labels = (np.arange(n) < n // 3).astype(np.int8)
    return labels, rng.normal(labels * shift)


def squashed(scores):
    return 1 / (1 + np.exp(-scores))


def test_every_resample_draws_as_many_clusters_as_there_are():
    clusters = np.array([7, 7, 7, 2, 2, 9])
    weights = np.concatenate(list(resample_weights(6, clusters, 130, seed=1)))
    assert weights.shape == (130, 6)
    assert (weights[:, 0] == weights[:, 2]).all()
    assert (weights[:, 3] == weights[:, 4]).all()
    assert (weights[:, 0] + weights[:, 3] + weights[:, 5] == 3).all()
    # Each cluster is drawn once on average.
    assert weights.mean(axis=0) == pytest.approx(np.ones(6), abs=0.25)


def test_without_clusters_rows_are_drawn():
    weights = np.concatenate(list(resample_weights(50, None, 200, seed=1)))
    assert (weights.sum(axis=1) == 50).all()
    # A row stays out of a resample with probability (1 - 1/n)^n.
    assert (weights == 0).mean() == pytest.approx(0.364, abs=0.01)


def test_the_same_seed_gives_the_same_interval_to_the_last_bit():
    labels, scores = drawn(np.random.default_rng(0), 300)
    given = {"threshold": 0.5, "samples": 150, "clusters": np.arange(300) // 2}
    first = intervals(labels, squashed(scores), seed=4, **given)
    assert first == intervals(labels, squashed(scores), seed=4, **given)
    assert first["roc_auc"] != intervals(labels, squashed(scores), seed=5, **given)["roc_auc"]


def test_an_interval_holds_its_own_value():
    labels, scores = drawn(np.random.default_rng(1), 600)
    found = intervals(labels, squashed(scores), threshold=0.6, samples=200, seed=0)
    for name, interval in found.items():
        assert interval.low <= interval.value <= interval.high, name


def test_about_ninety_five_of_a_hundred_intervals_cover_the_truth():
    rng = np.random.default_rng(20)
    # Normal scores one standard deviation apart: the area is Phi(1 / sqrt(2)).
    truth = 0.76025
    covered = 0
    for seed in range(300):
        labels, scores = drawn(rng, 240)
        interval = intervals(labels, scores, threshold=0, samples=200, seed=seed, names=["roc_auc"])[
            "roc_auc"
        ]
        covered += interval.low <= truth <= interval.high
    # Three standard errors of 300 draws around 0.95, and a little for 200 resamples.
    assert 0.90 <= covered / 300 <= 0.985


def test_patients_with_many_encounters_widen_the_interval():
    labels, scores = drawn(np.random.default_rng(2), 150)
    eight = [np.repeat(values, 8) for values in (labels, scores, np.arange(150))]
    given = {"threshold": 0.0, "samples": 400, "seed": 0, "names": ["roc_auc"]}

    def width(interval):
        return interval.high - interval.low

    by_row = width(intervals(eight[0], eight[1], **given)["roc_auc"])
    by_patient = width(intervals(eight[0], eight[1], clusters=eight[2], **given)["roc_auc"])
    once = width(intervals(labels, scores, **given)["roc_auc"])
    assert by_patient == pytest.approx(once, rel=0.2)
    # Eight copies add no information, but drawn by row they look like eight times the evidence.
    assert by_patient / by_row == pytest.approx(np.sqrt(8), rel=0.25)


def test_the_interval_of_a_calibration_error_covers_the_truth():
    rng = np.random.default_rng(3)
    covered, truth = 0, 0.05
    for seed in range(100):
        risk = rng.beta(2, 10, size=2_000)
        labels = (rng.random(2_000) < risk).astype(np.int8)
        found = intervals(
            labels, risk + truth, threshold=0.5, samples=200, seed=seed, names=["calibration_error"]
        )["calibration_error"]
        assert 0 <= found.low <= found.value <= found.high
        covered += found.low <= truth <= found.high
    # Gaps cannot fall below zero, so this interval is slightly too narrow: closer to 85 % than to 95 %.
    assert covered >= 80


class TestPaired:
    def test_is_the_difference_of_the_two_metrics(self):
        rng = np.random.default_rng(4)
        labels, a = drawn(rng, 400, shift=1.2)
        b = drawn(rng, 400, shift=0.8)[1]
        for name, reference in (("roc_auc", roc_auc_score), ("average_precision", average_precision_score)):
            difference = paired_bootstrap(labels, a, b, name, samples=100)
            assert difference.value == pytest.approx(reference(labels, a) - reference(labels, b), abs=1e-12)
            assert difference.low < difference.value < difference.high

    def test_equal_scores_differ_by_exactly_nothing(self):
        labels, scores = drawn(np.random.default_rng(5), 300)
        difference = paired_bootstrap(labels, scores, scores.copy(), samples=100)
        assert (difference.value, difference.low, difference.high) == (0, 0, 0)

    def test_a_clearly_better_score_lies_above_zero_and_the_other_way_below(self):
        rng = np.random.default_rng(6)
        labels, good = drawn(rng, 2_000, shift=1.5)
        poor = good + rng.normal(size=2_000) * 3
        assert paired_bootstrap(labels, good, poor, samples=200).low > 0
        assert paired_bootstrap(labels, poor, good, samples=200).high < 0

    def test_two_scores_of_equal_worth_seldom_differ(self):
        rng = np.random.default_rng(7)
        called = 0
        for seed in range(200):
            labels, base = drawn(rng, 250)
            a, b = (base + rng.normal(size=250) * 0.5 for _ in range(2))
            difference = paired_bootstrap(labels, a, b, "roc_auc", samples=150, seed=seed)
            called += difference.low > 0 or difference.high < 0
        assert called / 200 <= 0.11

    def test_is_narrower_than_two_intervals_apart(self):
        rng = np.random.default_rng(8)
        labels, a = drawn(rng, 800)
        b = a + rng.normal(size=800) * 0.2
        paired = paired_bootstrap(labels, a, b, "roc_auc", samples=200)
        alone = intervals(labels, a, threshold=0, samples=200, seed=0, names=["roc_auc"])["roc_auc"]
        assert paired.high - paired.low < (alone.high - alone.low) / 2

    def test_an_unknown_metric_is_refused(self):
        with pytest.raises(KeyError):
            paired_bootstrap(np.array([0, 1]), np.array([0.1, 0.2]), np.array([0.1, 0.2]), "no_such_metric")
