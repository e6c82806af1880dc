"""The search for the highest load, on simulated servers that follow a formula."""

from collections import Counter

import pytest

from readmission_loadtest.measuring import percentile
from readmission_loadtest.search import Limits, Search, Step

LIMITS = Limits(p95_ms=50, failures=0.01)


def measured(users: int, *, p95: float = 10, failed: int = 0, requests: int = 1_000) -> Step:
    return Step(users, 10, requests, failed, p95 / 2, p95, p95 * 2)


def run(holds_up_to: int, *, first: int = 10, most: int = 1_000, refinements: int = 3) -> Search:
    search = Search(LIMITS, first, most, growth=2, refinements=refinements)
    while search.users is not None:
        search.record(measured(search.users, p95=10 if search.users <= holds_up_to else 60))
        assert len(search.steps) < 50
    return search


def test_the_search_goes_up_and_then_between():
    search = run(holds_up_to=60)
    assert [step.users for step in search.steps] == [10, 20, 40, 80, 60, 70, 65]
    assert search.best is not None
    assert search.best.users == 60


def test_without_refinements_the_last_step_that_held_is_the_answer():
    search = run(holds_up_to=60, refinements=0)
    assert search.best is not None
    assert search.best.users == 40


def test_a_server_that_holds_everything_is_asked_for_no_more_than_the_most():
    search = run(holds_up_to=10_000, most=100)
    assert [step.users for step in search.steps] == [10, 20, 40, 80, 100]


def test_a_server_that_holds_nothing_is_asked_for_less_and_less():
    search = run(holds_up_to=0)
    assert search.best is None
    assert [step.users for step in search.steps] == [10, 5, 2, 1]


@pytest.mark.parametrize(
    ("step", "held"),
    [
        (measured(1, p95=50), True),
        (measured(1, p95=51), False),
        (measured(1, failed=10), True),
        (measured(1, failed=11), False),
        (measured(1, requests=0), False),
    ],
)
def test_a_load_holds_within_both_limits(step, held):
    assert step.holds(LIMITS) is held


def test_percentiles_are_those_of_the_requests():
    times = Counter({1.0: 90, 5.0: 8, 100.0: 2})
    assert [percentile(times, share) for share in (0.5, 0.9, 0.95, 0.99)] == [1, 1, 5, 100]
    assert percentile(Counter(), 0.95) == 0
