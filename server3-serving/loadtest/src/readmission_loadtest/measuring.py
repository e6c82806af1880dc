"""The difference between two readings of Locust's running totals."""

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from readmission_loadtest.search import Step

if TYPE_CHECKING:
    # Importing Locust patches the whole process.
    from locust.stats import RequestStats

PREDICT = ("/predict", "POST")


@dataclass(frozen=True, slots=True)
class Totals:
    """Locust's counts at one moment, `at` in seconds; `times` counts requests to /predict by milliseconds."""

    at: float
    requests: int
    failed: int
    times: Counter[float]


def totals(stats: "RequestStats", at: float) -> Totals:
    """Return a copy of the counts, which keep growing."""
    entry = stats.get(*PREDICT)
    return Totals(at, stats.total.num_requests, stats.total.num_failures, Counter(entry.response_times))


def step(users: int, first: Totals, last: Totals) -> Step:
    """Return the step of `users` users between two readings."""
    times = last.times - first.times
    return Step(
        users=users,
        seconds=last.at - first.at,
        requests=last.requests - first.requests,
        failed=last.failed - first.failed,
        p50_ms=percentile(times, 0.50),
        p95_ms=percentile(times, 0.95),
        p99_ms=percentile(times, 0.99),
    )


def percentile(times: Counter[float], share: float) -> float:
    """Return the time that at least `share` of the requests did not exceed; 0 without requests."""
    needed, seen = share * times.total(), 0
    for milliseconds in sorted(times):
        seen += times[milliseconds]
        if seen >= needed:
            return float(milliseconds)
    return 0.0
