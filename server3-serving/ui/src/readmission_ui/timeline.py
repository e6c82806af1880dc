"""What happened over time: predictions, latency and AUC, from these pages' own looks or from Prometheus."""

from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from threading import Lock
from typing import Final

import httpx
import streamlit as st
from pydantic import BaseModel, ValidationError

from readmission_ui import exposition
from readmission_ui.api_client import ApiClient
from readmission_ui.errors import PrometheusAwayError, ReadmissionUIError
from readmission_ui.exposition import Snapshot

KEPT: Final = timedelta(hours=1)
POINTS: Final = 120
"""Points of a line: what a chart of this width can show."""

Point = tuple[datetime, float]


@dataclass(frozen=True)
class Timeline:
    """Lines over time: patients a minute by class, latency in seconds, AUC over outcomes."""

    flagged: tuple[Point, ...] = ()
    below: tuple[Point, ...] = ()
    median: tuple[Point, ...] = ()
    slowest: tuple[Point, ...] = ()
    auc: tuple[Point, ...] = ()


@dataclass
class Looks:
    """The looks at one API of the last hour, shared by all who have the pages open."""

    gap: timedelta
    snapshots: deque[Snapshot] = field(default_factory=deque)
    lock: Lock = field(default_factory=Lock)

    def look(self, client: ApiClient) -> None:
        """Take another look, unless the last one was a moment ago."""
        with self.lock:
            if self.snapshots and datetime.now(UTC) - self.snapshots[-1].at < self.gap:
                return
            self.snapshots.append(exposition.parse(client.metrics()))
            while self.snapshots[0].at < self.snapshots[-1].at - KEPT:
                self.snapshots.popleft()

    def latest(self) -> Snapshot | None:
        """Return the last look."""
        with self.lock:
            return self.snapshots[-1] if self.snapshots else None

    def timeline(self) -> Timeline:
        """Return the lines through the looks, each point over the time since the one before."""
        with self.lock:
            snapshots = list(self.snapshots)
        step = max(1, -(-len(snapshots) // POINTS))
        # Counted from the newest, so that the last point is always there.
        return timeline_of(snapshots[::-1][::step][::-1])


def timeline_of(snapshots: list[Snapshot]) -> Timeline:
    """Return the lines through snapshots in their order of time."""
    flagged: list[Point] = []
    below: list[Point] = []
    median: list[Point] = []
    slowest: list[Point] = []
    for earlier, later in pairwise(snapshots):
        minutes = (later.at - earlier.at).total_seconds() / 60
        for line, one in ((flagged, True), (below, False)):
            done = later.predicted(one) - earlier.predicted(one)
            # Less than before: the API started anew, and counted these since.
            line.append((later.at, (done if done >= 0 else later.predicted(one)) / minutes))
        meanwhile = exposition.since(later.latency, earlier.latency)
        for line, share in ((median, 0.5), (slowest, 0.99)):
            seconds = exposition.quantile(meanwhile, share)
            if seconds is not None:
                line.append((later.at, seconds))
    auc = [(snapshot.at, snapshot.auc) for snapshot in snapshots if snapshot.auc is not None]
    return Timeline(tuple(flagged), tuple(below), tuple(median), tuple(slowest), tuple(auc))


@st.cache_resource(show_spinner=False)
def looks(url: str, gap_seconds: float) -> Looks:
    """Return the process's looks at an API. The address is what tells two APIs apart."""
    del url
    return Looks(timedelta(seconds=gap_seconds / 2))


def record(client: ApiClient, gap_seconds: float) -> None:
    """Take a look for the timeline. An API that has just gone leaves a gap, which its state tells of."""
    try:
        looks(client.url, gap_seconds).look(client)
    except ReadmissionUIError:
        return


class _Series(BaseModel):
    values: list[tuple[float, float]]


class _Matrix(BaseModel):
    result: list[_Series]


class _Answer(BaseModel):
    data: _Matrix


def from_prometheus(url: str, timeout: float, span: timedelta) -> Timeline:
    """Ask Prometheus for the lines of the last `span`. Raises PrometheusAwayError."""
    step = max(15, int(span.total_seconds()) // POINTS)
    over = f"[{max(60, 2 * step)}s]"
    with httpx.Client(base_url=url, timeout=timeout, trust_env=False) as http:

        def line(query: str) -> tuple[Point, ...]:
            now = datetime.now(UTC)
            try:
                answer = http.get(
                    "/api/v1/query_range",
                    params={
                        "query": query,
                        "start": (now - span).timestamp(),
                        "end": now.timestamp(),
                        "step": step,
                    },
                )
                answer.raise_for_status()
                found = _Answer.model_validate_json(answer.content).data.result
            except (httpx.HTTPError, ValidationError) as error:
                raise PrometheusAwayError(f"Prometheus at {url} did not answer: {error}") from error
            points = found[0].values if found else []
            # Nothing happened then: Prometheus says NaN, a line has a gap.
            return tuple((datetime.fromtimestamp(at, UTC), value) for at, value in points if value == value)  # noqa: PLR0124

        buckets = f"sum by (le) (rate(prediction_latency_seconds_bucket{over}))"
        return Timeline(
            flagged=line(f'60 * sum(rate(predictions_total{{class="1"}}{over}))'),
            below=line(f'60 * sum(rate(predictions_total{{class="0"}}{over}))'),
            median=line(f"histogram_quantile(0.5, {buckets})"),
            slowest=line(f"histogram_quantile(0.99, {buckets})"),
            auc=line("max(outcome_roc_auc)"),
        )
