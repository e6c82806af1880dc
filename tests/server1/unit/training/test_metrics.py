"""Metrics against scikit-learn, and against cases small enough to count by hand."""

import numpy as np
import pytest
from sklearn import metrics as reference

from readmission_data.training.metrics import (
    METRICS,
    Ranked,
    Resample,
    all_negative,
    calibration_curve,
    calibration_error,
    evaluate,
    threshold_for,
)


def drawn(seed, n=400, decimals=8):
    """Return labels, scores (with ties if `decimals` is small) and integer weights."""
    rng = np.random.default_rng(seed)
    scores = rng.beta(1, 7, size=n).round(decimals)
    labels = (rng.random(n) < scores).astype(np.int8)
    return labels, scores, rng.integers(0, 4, size=n).astype(float)


@pytest.mark.parametrize("decimals", [8, 2, 1], ids=["no ties", "some ties", "mostly ties"])
@pytest.mark.parametrize("seed", range(5))
def test_each_weighted_metric_is_what_scikit_learn_says(seed, decimals):
    labels, scores, weights = drawn(seed, decimals=decimals)
    scores = np.clip(scores, 0.001, 0.999)
    threshold = 0.15
    flag = scores >= threshold
    by = {"sample_weight": weights}

    expected = {
        "roc_auc": reference.roc_auc_score(labels, scores, **by),
        "average_precision": reference.average_precision_score(labels, scores, **by),
        "log_loss": reference.log_loss(labels, scores, **by),
        "brier": reference.brier_score_loss(labels, scores, **by),
        "f1": reference.f1_score(labels, flag, **by),
        "precision": reference.precision_score(labels, flag, **by),
        "recall": reference.recall_score(labels, flag, **by),
        "weighted_f1": reference.f1_score(labels, flag, average="weighted", **by),
        "accuracy": reference.accuracy_score(labels, flag, **by),
    }

    at = Resample(Ranked(labels, scores), weights[None, :], threshold)
    got = {name: float(METRICS[name](at)[0]) for name in expected}
    assert got == pytest.approx(expected, abs=1e-12)


def test_a_row_of_weight_two_counts_as_two_rows():
    labels, scores, weights = drawn(3, n=150, decimals=2)
    repeated = np.repeat(np.arange(len(labels)), weights.astype(int))
    at = Resample(Ranked(labels, scores), weights[None, :], 0.2)
    alone = evaluate(labels[repeated], scores[repeated], 0.2)
    for name, metric in METRICS.items():
        if name == "calibration_error":
            continue  # Its bins are those of the sample, not of the resample.
        assert metric(at)[0] == pytest.approx(alone[name], abs=1e-12), name


def test_no_metric_depends_on_the_order_of_the_rows():
    labels, scores, _ = drawn(4, decimals=1)
    order = np.random.default_rng(0).permutation(len(labels))
    assert evaluate(labels, scores, 0.1) == pytest.approx(evaluate(labels[order], scores[order], 0.1))


def test_resamples_are_measured_each_for_itself():
    labels, scores, weights = drawn(5)
    other = np.roll(weights, 1)
    both = Resample(Ranked(labels, scores), np.stack([weights, other]), 0.2)
    for name, metric in METRICS.items():
        single = [metric(Resample(Ranked(labels, scores), one[None, :], 0.2))[0] for one in (weights, other)]
        assert metric(both) == pytest.approx(single), name


class TestTopTenPercent:
    scores = np.linspace(0.99, 0.01, 20)  # The top tenth is the first two rows.

    def test_counts_the_top_rows(self):
        labels = np.zeros(20, dtype=np.int8)
        labels[[0, 5, 6, 7]] = 1
        measured = evaluate(labels, self.scores, 0.5)
        assert measured["recall_top10"] == pytest.approx(1 / 4)
        assert measured["precision_top10"] == pytest.approx(1 / 2)

    def test_ties_across_the_border_count_as_the_mean_of_their_orders(self):
        scores = np.full(20, 0.1)
        scores[0] = 0.9
        labels = np.zeros(20, dtype=np.int8)
        labels[:3] = 1
        # The first row for sure, and one of the 19 others, 2 of which are positive.
        measured = evaluate(labels, scores, 0.5)
        assert measured["recall_top10"] == pytest.approx((1 + 2 / 19) / 3)
        assert measured["precision_top10"] == pytest.approx((1 + 2 / 19) / 2)


class TestCalibrationError:
    def test_counts_the_gaps_of_the_bins(self):
        # Ten bins of ten rows; in each the score is b/10 and the observed rate is chosen.
        scores = np.repeat(np.arange(10) / 10, 10)
        rates = np.array([0, 2, 2, 3, 4, 5, 6, 7, 8, 7])
        labels = np.concatenate([[1] * rate + [0] * (10 - rate) for rate in rates])
        # Off by 0.1 in bin 1 and by 0.2 in bin 9, a tenth of the rows each.
        assert calibration_error(labels, scores) == pytest.approx((0.1 + 0.2) / 10)

    def test_one_score_for_all_has_one_bin(self):
        labels = np.array([1, 0, 0, 0])
        assert calibration_error(labels, np.full(4, 0.25)) == pytest.approx(0, abs=1e-12)
        assert calibration_error(labels, np.full(4, 0.45)) == pytest.approx(0.2)

    def test_a_calibrated_score_has_nearly_none_and_a_doubled_one_has_its_mean(self):
        rng = np.random.default_rng(1)
        scores = rng.beta(2, 10, size=200_000)
        labels = (rng.random(200_000) < scores).astype(np.int8)
        assert calibration_error(labels, scores) < 0.004
        assert calibration_error(labels, np.minimum(2 * scores, 1)) == pytest.approx(scores.mean(), abs=0.005)

    def test_the_curve_shows_the_same_bins(self):
        labels, scores, _ = drawn(6)
        risk, observed, rows = calibration_curve(labels, scores)
        assert rows.sum() == len(labels)
        assert rows == pytest.approx([40] * 10)
        gap = (np.abs(observed - risk) * rows).sum() / rows.sum()
        assert gap == pytest.approx(calibration_error(labels, scores))


def test_what_cannot_be_measured_is_nan():
    none = evaluate(np.zeros(5, dtype=np.int8), np.linspace(0.1, 0.5, 5), 0.9)
    unmeasured = {name for name, value in none.items() if np.isnan(value)}
    assert unmeasured == {"roc_auc", "average_precision", "recall", "recall_top10"}
    assert none["precision"] == 0
    assert none["f1"] == 0
    assert none["accuracy"] == 1


def test_flagging_nobody_is_the_baseline():
    labels = np.array([1] * 113 + [0] * 887)
    flag = np.zeros_like(labels)
    assert all_negative(labels) == pytest.approx(
        {
            "baseline_accuracy": reference.accuracy_score(labels, flag),
            "baseline_weighted_f1": reference.f1_score(labels, flag, average="weighted"),
        }
    )
    assert all_negative(labels) == pytest.approx(
        {"baseline_accuracy": 0.887, "baseline_weighted_f1": 0.834}, abs=1e-3
    )


class TestThreshold:
    @pytest.mark.parametrize("fraction", [0.05, 0.1, 0.37])
    def test_flags_exactly_the_wanted_share(self, fraction):
        scores = np.random.default_rng(2).permutation(np.linspace(0.01, 0.6, 1_000))
        threshold = threshold_for(scores, fraction)
        assert (scores >= threshold).sum() == round(1_000 * fraction)

    def test_lies_half_way_so_that_a_rounding_changes_nothing(self):
        scores = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95])
        assert threshold_for(scores, 0.1) == pytest.approx(0.925)
        assert threshold_for(scores, 0.2) == pytest.approx(0.85)

    def test_ties_go_to_the_nearest_share(self):
        scores = np.array([0.9] * 3 + [0.5] * 9 + [0.1] * 8)
        assert (scores >= threshold_for(scores, 0.1)).sum() == 3
        assert (scores >= threshold_for(scores, 0.55)).sum() == 12

    def test_flags_somebody_even_where_the_share_is_less_than_one_row(self):
        assert (np.array([0.1, 0.2, 0.3]) >= threshold_for(np.array([0.1, 0.2, 0.3]), 0.01)).sum() == 1

    def test_one_score_for_all_flags_all_rather_than_none(self):
        assert threshold_for(np.full(9, 0.25), 0.1) == 0.25
