"""Net benefit and workload against numbers counted by hand."""

import numpy as np
import pytest

from readmission_data.training.benefit import net_benefit, rate_by_points, workload

LABELS = np.array([1, 1, 0, 0, 0, 0, 0, 0, 0, 0])


def test_net_benefit_weighs_false_alarms_by_the_odds() -> None:
    risks = np.array([0.5, 0.1, 0.5, *[0.05] * 7])
    # At 20 %: one return found and one call too many in ten patients.
    assert net_benefit(LABELS, risks, [0.2]) == pytest.approx([0.1 - 0.1 * 0.25])
    assert net_benefit(LABELS, np.ones(10), [0.2]) == pytest.approx([0.2 - 0.8 * 0.25])
    assert net_benefit(LABELS, np.zeros(10), [0.2]) == [0]


def test_workload_says_who_is_found() -> None:
    scores = np.array([0.9, 0.2, 0.8, *np.linspace(0.7, 0.3, 7)])
    [found] = workload(LABELS, scores, [0.2])
    assert str(found) == "Flag 20%: 50 of 100 flagged patients return; 50 of 100 who return are flagged."


def test_ties_count_in_proportion() -> None:
    [found] = workload(LABELS, np.zeros(10), [0.1])
    assert (found.precision, found.recall) == pytest.approx((0.2, 0.1))


def test_points_become_monotonic_rates() -> None:
    points = np.array([0, 0, 1, 1, 3, 3, 4])
    labels = np.array([0, 0, 1, 0, 0, 1, 1])
    assert rate_by_points(points, labels).tolist() == [0, 0.5, 0.5, 0.5, 1]
