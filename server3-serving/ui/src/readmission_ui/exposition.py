"""The API's metrics (`GET /metrics`), as the monitor reads them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from math import inf, isnan

from prometheus_client.parser import text_string_to_metric_families

from readmission_ui.errors import UnexpectedAnswerError


@dataclass(frozen=True)
class Snapshot:
    """What the API had counted at one moment. Counters count from the start of the API's process.

    `latency` and `scores` are cumulative histograms by upper bound: seconds, and risk from 0 to 1. `drift` is
    the population stability index by field.
    """

    at: datetime
    predictions: Mapping[tuple[str, str], float] = field(default_factory=dict)
    errors: Mapping[str, float] = field(default_factory=dict)
    latency: Mapping[float, float] = field(default_factory=dict)
    scores: Mapping[float, float] = field(default_factory=dict)
    drift: Mapping[str, float] = field(default_factory=dict)
    score_drift: float | None = None
    window_rows: float = 0.0
    shed: float = 0.0
    auc: float | None = None
    auc_rows: float = 0.0

    def predicted(self, flagged: bool | None = None) -> float:  # noqa: FBT001 - a class is one of two
        """Return how many patients were scored, of one class or of both."""
        wanted = {True: {"1"}, False: {"0"}, None: {"0", "1"}}[flagged]
        return sum(count for (name, _), count in self.predictions.items() if name in wanted)


def parse(text: str) -> Snapshot:
    """Read Prometheus' text format. Raises UnexpectedAnswerError where it is none."""
    try:
        samples = [
            (sample.name, sample.labels, sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        ]
    except ValueError as error:
        raise UnexpectedAnswerError("GET /metrics was not answered in Prometheus' text format") from error
    single = {name: value for name, labels, value in samples if not labels and not isnan(value)}

    def histogram(name: str) -> dict[float, float]:
        bounds = [
            (float(labels["le"]), value) for found, labels, value in samples if found == f"{name}_bucket"
        ]
        return dict(sorted(bounds))

    # A gauge that was never set says 0; what it stands on tells.
    auc_rows = single.get("outcome_roc_auc_rows", 0.0)
    window_rows = single.get("input_drift_window_rows", 0.0)
    return Snapshot(
        at=datetime.now(UTC),
        predictions={
            (labels["class"], labels["version"]): value
            for name, labels, value in samples
            if name == "predictions_total"
        },
        errors={
            labels["kind"]: value for name, labels, value in samples if name == "prediction_errors_total"
        },
        latency=histogram("prediction_latency_seconds"),
        scores=histogram("prediction_score"),
        drift={
            labels["field"]: value
            for name, labels, value in samples
            if name == "input_drift_psi" and not isnan(value)
        },
        score_drift=single.get("score_drift_psi") if window_rows else None,
        window_rows=window_rows,
        shed=sum(value for name, _, value in samples if name == "requests_shed_total"),
        auc=single.get("outcome_roc_auc") if auc_rows else None,
        auc_rows=auc_rows,
    )


def since(later: Mapping[float, float], earlier: Mapping[float, float]) -> dict[float, float]:
    """Return what a cumulative histogram counted meanwhile; all of it where the API started anew."""
    if any(count < earlier.get(bound, 0.0) for bound, count in later.items()):
        return dict(later)
    return {bound: count - earlier.get(bound, 0.0) for bound, count in later.items()}


def quantile(histogram: Mapping[float, float], share: float) -> float | None:
    """Return the bound below which a share of a cumulative histogram lies, straight within a bucket.

    None where nothing was counted. Past the last finite bound that bound is returned, as Prometheus does.
    """
    total = histogram.get(inf, 0.0)
    if total <= 0:
        return None
    for (low, below), (high, upto) in pairwise([(0.0, 0.0), *histogram.items()]):
        if upto >= share * total:
            if high == inf:
                return low
            return low + (high - low) * (share * total - below) / (upto - below) if upto > below else high
    return None
