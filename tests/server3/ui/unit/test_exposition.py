"""Reading metrics, and the lines that are drawn through them."""

from datetime import UTC, datetime, timedelta
from math import inf

import pytest
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from readmission_ui import exposition
from readmission_ui.errors import UnexpectedAnswerError
from readmission_ui.exposition import Snapshot
from readmission_ui.timeline import timeline_of

START = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_histogram_is_read_as_prometheus_clients_write_it():
    registry = CollectorRegistry()
    latency = Histogram("prediction_latency_seconds", "Latency", buckets=(0.001, 0.01), registry=registry)
    for seconds in (0.0005, 0.0005, 0.005, 5):
        latency.observe(seconds)
    snapshot = exposition.parse(generate_latest(registry).decode())
    assert snapshot.latency == {0.001: 2.0, 0.01: 3.0, inf: 4.0}


def test_gauges_that_stand_on_nothing_are_not_taken_for_measures():
    snapshot = exposition.parse("outcome_roc_auc 0.0\noutcome_roc_auc_rows 0.0\nscore_drift_psi 0.0\n")
    assert snapshot.auc is None
    assert snapshot.score_drift is None


@pytest.mark.parametrize("text", ["<html>", '{"json": 1}', "predictions_total{class="])
def test_another_answer_is_refused(text: str):
    with pytest.raises(UnexpectedAnswerError):
        exposition.parse(text)


def test_quantiles_lie_straight_within_a_bucket():
    assert exposition.quantile({1.0: 10.0, 2.0: 20.0, inf: 20.0}, 0.5) == 1.0
    assert exposition.quantile({1.0: 10.0, 2.0: 20.0, inf: 20.0}, 0.75) == 1.5
    assert exposition.quantile({1.0: 1.0, inf: 100.0}, 0.99) == 1.0
    assert exposition.quantile({1.0: 0.0, inf: 0.0}, 0.5) is None
    assert exposition.quantile({}, 0.5) is None


def snapshot(seconds: int, flagged: float, below: float, auc: float | None = None) -> Snapshot:
    return Snapshot(
        at=START + timedelta(seconds=seconds),
        predictions={("1", "3"): flagged, ("0", "3"): below},
        latency={0.001: flagged + below, inf: flagged + below},
        auc=auc,
    )


def test_lines_are_patients_a_minute_between_looks():
    line = timeline_of([snapshot(0, 0, 10), snapshot(30, 5, 40), snapshot(90, 5, 40, auc=0.7)])
    assert [value for _, value in line.flagged] == [10, 0]
    assert [value for _, value in line.below] == [60, 0]
    assert len(line.median) == 1
    assert [value for _, value in line.auc] == [0.7]


def test_an_api_that_started_anew_counts_from_nothing():
    line = timeline_of([snapshot(0, 100, 900), snapshot(60, 2, 8)])
    assert [value for _, value in line.flagged] == [2]
    assert [value for _, value in line.below] == [8]
    assert line.median[0][1] == pytest.approx(0.0005)
