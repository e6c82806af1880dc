"""The highest load that the API sustains: `locust -f locustfile.py,capacity.py --headless --host ADDRESS`.

Users are added in steps until /predict's 95th percentile exceeds its limit or requests fail. Then the search
continues between the last load that was sustained and the first that was not. The report has three files:
JSON, a table in Markdown, and a plot. Locust exits with 1 if less than READMISSION_LOADTEST_REQUIRED_RATE was
sustained.
"""

import logging
import time
from typing import Final

from locust import LoadTestShape, events
from locust.env import Environment

from readmission_loadtest import capacity_report
from readmission_loadtest.measuring import Totals, step, totals
from readmission_loadtest.search import Limits, Search
from readmission_loadtest.settings import LoadTestSettings

_SETTINGS: Final = LoadTestSettings()

log = logging.getLogger(__name__)


class Capacity(LoadTestShape):
    """The steps of users that the search asks for."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.search = Search(
            limits=Limits(_SETTINGS.p95_limit_ms, _SETTINGS.failure_limit),
            users=min(_SETTINGS.first_users, _SETTINGS.most_users),
            most_users=_SETTINGS.most_users,
            growth=_SETTINGS.growth,
            refinements=_SETTINGS.refinements,
        )
        self._full_since: float | None = None
        self._first: Totals | None = None

    def tick(self) -> tuple[int, float] | None:
        """Return how many users Locust should run now, or None to end the test; called once per second."""
        users = self.search.users
        if users is None or self.runner is None:
            return None
        now = time.monotonic()
        if self.runner.user_count != users:
            self._full_since = None
        elif self._full_since is None:
            self._full_since, self._first = now, None
        elif self._first is None:
            if now - self._full_since >= _SETTINGS.settle_seconds:
                self._first = totals(self.runner.stats, now)
        elif now - self._first.at >= _SETTINGS.step_seconds:
            self._end_step(users, self._first, totals(self.runner.stats, now))
        return (self.search.users, self.search.users) if self.search.users else None

    def _end_step(self, users: int, first: Totals, last: Totals) -> None:
        self._full_since = None
        found = step(users, first, last)
        self.search.record(found)
        log.info(
            "%d users: %.0f requests/s, p95 of /predict %.0f ms, %d failed: %s",
            users,
            found.rate,
            found.p95_ms,
            found.failed,
            "sustained" if found.holds(self.search.limits) else "not sustained",
        )


@events.quitting.add_listener  # type: ignore[untyped-decorator]
def _report(environment: Environment, **_: object) -> None:
    shape = environment.shape_class
    # A worker has no search, and a load test that could not start has already logged the reason.
    if not isinstance(shape, Capacity) or not shape.search.steps:
        return
    best = shape.search.best
    for path in capacity_report.write(shape.search, _SETTINGS.report):
        log.info("written: %s", path)
    if shape.search.users is not None:
        log.warning("the search was stopped before its last step")
    rate = best.rate if best else 0.0
    if best is None:
        log.error("no load was sustained: even %d users were too many", _SETTINGS.first_users)
    else:
        log.info(
            "highest load sustained: %d users, %.0f requests/s, p95 %.0f ms", best.users, rate, best.p95_ms
        )
    enough = best is not None and rate >= _SETTINGS.required_rate
    if best is not None and not enough:
        log.error("the required rate is %.0f requests/s", _SETTINGS.required_rate)
    # The search provokes failures above the limit on purpose, so they do not fail the test.
    environment.process_exit_code = 0 if enough else 1
