import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from readmission_api.metrics.outcome_quality import Quality, measure, roc_auc


def by_pairs(risks, readmitted):
    pairs = [
        (one > other) + (one == other) / 2
        for (one, yes), (other, no) in itertools.product(zip(risks, readmitted, strict=True), repeat=2)
        if yes and not no
    ]
    return sum(pairs) / len(pairs) if pairs else None


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=30))
def test_the_area_is_the_share_of_right_pairs(rows):
    risks = [risk / 5 for risk, _ in rows]
    readmitted = [yes for _, yes in rows]
    wanted = by_pairs(risks, readmitted)
    found = roc_auc(np.array(risks), np.array(readmitted, dtype=bool))
    assert found == (None if wanted is None else pytest.approx(wanted))


def test_the_intervals_cover_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(7)
    auc = share = 0
    draws = 400
    for _ in range(draws):
        readmitted = rng.random(400) < 0.2
        # Two normal distributions, one standard deviation apart, have an area of 0.7602.
        risks = 1 / (1 + np.exp(-(rng.normal(size=400) + readmitted)))
        found = measure(risks, readmitted)
        auc += found.auc_low <= 0.7602 <= found.auc_high
        share += found.observed_low <= 0.2 <= found.observed_high
    assert 0.92 < auc / draws < 0.98
    assert 0.92 < share / draws < 0.98


def test_calibration_compares_the_mean_risk_with_what_happened():
    found = measure(np.array([0.1] * 90 + [0.4] * 10), np.array([True] * 13 + [False] * 87))
    assert (found.rows, found.expected, found.observed) == (100, pytest.approx(0.13), 0.13)
    assert found.observed_low < 0.13 < found.observed_high


@pytest.mark.parametrize("readmitted", [[True] * 9 + [False] * 51, [True] * 60, [False] * 60])
def test_too_few_outcomes_have_no_interval(readmitted):
    found = measure(np.linspace(0, 1, 60), np.array(readmitted))
    bounds = (found.auc_low, found.auc_high, found.observed_low, found.observed_high)
    assert np.isnan(bounds).all()


def test_no_outcome_has_no_figure():
    assert measure(np.array([]), np.array([], dtype=bool)).rows == Quality(0).rows == 0
