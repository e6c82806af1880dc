"""The metrics of a score: one implementation for a point estimate and for a thousand resamples.

Every metric takes a `Resample`: rows sorted by descending score, and one row of weights per resample. A point
estimate is a resample with weights of one, so an interval always measures the same as its value.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

TOP_FRACTION: Final = 0.10
"""The share of rows that `recall_top10` and `precision_top10` use."""

CALIBRATION_BINS: Final = 10
"""Bins of equal mass, cut at quantiles of the scores: of equal width, those of high risk are near empty."""


class Ranked:
    """Labels and scores of `n` rows, sorted once by falling score.

    `ends` are the last positions of each run of equal scores: no metric may depend on how ties are ordered.
    """

    def __init__(self, labels: Array, scores: Array) -> None:
        probabilities = np.asarray(scores, dtype=np.float64)
        self.order = np.argsort(-probabilities, kind="stable")
        self.labels = np.asarray(labels, dtype=np.float64)[self.order]
        self.scores = probabilities[self.order]
        self.ends = np.flatnonzero(np.r_[self.scores[1:] != self.scores[:-1], True])

    @cached_property
    def losses(self) -> Array:
        """Log loss of each row, probabilities clipped as scikit-learn clips them."""
        eps = np.finfo(np.float64).eps
        clipped = np.clip(self.scores, eps, 1 - eps)
        return -(self.labels * np.log(clipped) + (1 - self.labels) * np.log1p(-clipped))

    @cached_property
    def bins(self) -> Array:
        """The calibration bin of each row."""
        edges = np.unique(np.quantile(self.scores, np.linspace(0, 1, CALIBRATION_BINS + 1)))
        return np.searchsorted(edges[1:-1], self.scores, side="right")


@dataclass(frozen=True)
class Resample:
    """`ranked` under weights of shape [resamples, n], in the order of the rows before they were ranked."""

    ranked: Ranked
    weights: Array
    threshold: float = 0.5

    @cached_property
    def sorted_weights(self) -> Array:
        """Weights in the order of `ranked`."""
        return self.weights[:, self.ranked.order]

    @cached_property
    def totals(self) -> Array:
        """Weight of the rows at or above each distinct score, after a leading zero."""
        return self._cumulated(self.sorted_weights)

    @cached_property
    def hits(self) -> Array:
        """Weight of the positives at or above each distinct score, after a leading zero."""
        return self._cumulated(self.sorted_weights * self.ranked.labels)

    @property
    def total(self) -> Array:
        """Weight of all rows."""
        return self.totals[:, -1]

    @property
    def positives(self) -> Array:
        """Weight of all positives."""
        return self.hits[:, -1]

    @cached_property
    def flagged(self) -> tuple[Array, Array]:
        """Weight of the rows at or above the threshold, and of the positives among them."""
        above = int(np.searchsorted(-self.ranked.scores[self.ranked.ends], -self.threshold, side="right"))
        return self.totals[:, above], self.hits[:, above]

    @cached_property
    def top_hits(self) -> Array:
        """Positives among the top `TOP_FRACTION`, the mean over all orders of ties."""
        wanted = TOP_FRACTION * self.total
        rows = zip(wanted, self.totals, self.hits, strict=True)
        return np.array([np.interp(k, totals, hits) for k, totals, hits in rows])

    def _cumulated(self, values: Array) -> Array:
        ends = self.ranked.ends
        found = np.zeros((len(values), len(ends) + 1))
        if len(ends) == values.shape[1]:
            # Without ties, summed in place: copies of these arrays were a third of the time.
            np.cumsum(values, axis=1, out=found[:, 1:])
        else:
            found[:, 1:] = np.cumsum(values, axis=1)[:, ends]
        return found


def _ratio(numerator: Array, denominator: Array, otherwise: float) -> Array:
    return np.divide(
        numerator,
        denominator,
        out=np.full_like(numerator, otherwise, dtype=np.float64),
        where=denominator != 0,
    )


def _mean(at: Resample, values: Array) -> Array:
    mean: Array = at.sorted_weights @ values / at.total
    return mean


def _roc_auc(at: Resample) -> Array:
    misses = at.totals - at.hits
    area = (np.diff(misses, axis=1) * (at.hits[:, 1:] + at.hits[:, :-1]) / 2).sum(axis=1)
    return _ratio(area, at.positives * misses[:, -1], np.nan)


def _average_precision(at: Resample) -> Array:
    precision = _ratio(at.hits[:, 1:], at.totals[:, 1:], 0.0)
    return _ratio((np.diff(at.hits, axis=1) * precision).sum(axis=1), at.positives, np.nan)


def _log_loss(at: Resample) -> Array:
    return _mean(at, at.ranked.losses)


def _brier(at: Resample) -> Array:
    return _mean(at, (at.ranked.scores - at.ranked.labels) ** 2)


def _calibration_error(at: Resample) -> Array:
    gaps = at.sorted_weights * (at.ranked.labels - at.ranked.scores)
    bins = [at.ranked.bins == one for one in np.unique(at.ranked.bins)]
    error: Array = np.sum([np.abs(gaps[:, rows].sum(axis=1)) for rows in bins], axis=0) / at.total
    return error


def _recall_top10(at: Resample) -> Array:
    return _ratio(at.top_hits, at.positives, np.nan)


def _precision_top10(at: Resample) -> Array:
    return _ratio(at.top_hits, TOP_FRACTION * at.total, 0.0)


def _recall(at: Resample) -> Array:
    return _ratio(at.flagged[1], at.positives, np.nan)


def _precision(at: Resample) -> Array:
    return _ratio(at.flagged[1], at.flagged[0], 0.0)


def _f1(at: Resample) -> Array:
    return _ratio(2 * at.flagged[1], at.flagged[0] + at.positives, 0.0)


def _weighted_f1(at: Resample) -> Array:
    negatives = at.total - at.positives
    unflagged = at.total - at.flagged[0]
    true_negatives = unflagged - (at.positives - at.flagged[1])
    f1_of_negatives = _ratio(2 * true_negatives, unflagged + negatives, 0.0)
    return _ratio(at.positives * _f1(at) + negatives * f1_of_negatives, at.total, np.nan)


def _accuracy(at: Resample) -> Array:
    flagged, hits = at.flagged
    return _ratio(at.total - flagged - at.positives + 2 * hits, at.total, np.nan)


METRICS: Final[dict[str, Callable[[Resample], Array]]] = {
    "roc_auc": _roc_auc,
    "average_precision": _average_precision,
    "log_loss": _log_loss,
    "brier": _brier,
    "calibration_error": _calibration_error,
    "recall_top10": _recall_top10,
    "precision_top10": _precision_top10,
    "f1": _f1,
    "precision": _precision,
    "recall": _recall,
    "weighted_f1": _weighted_f1,
    "accuracy": _accuracy,
}
"""Each metric takes a `Resample` and returns one value per resample.

NaN where there are no positives (or no negatives) to measure. `calibration_error` is the expected calibration
error over ten bins of equal mass; `f1`, `precision`, `recall`, `weighted_f1` and `accuracy` are those of the
flag at the threshold.
"""


def evaluate(labels: Array, scores: Array, threshold: float) -> dict[str, float]:
    """Return every metric of `METRICS` for labels (0/1) and probabilities of shape [n]."""
    at = Resample(Ranked(labels, scores), np.ones((1, len(labels))), threshold)
    return {name: float(metric(at)[0]) for name, metric in METRICS.items()}


def calibration_error(labels: Array, scores: Array) -> float:
    """Return the expected calibration error of probabilities of shape [n], in ten bins of equal mass."""
    return float(_calibration_error(Resample(Ranked(labels, scores), np.ones((1, len(labels)))))[0])


def calibration_curve(labels: Array, scores: Array) -> tuple[Array, Array, Array]:
    """Return mean score, observed rate and rows of each of the bins behind `calibration_error`."""
    ranked = Ranked(labels, scores)
    rows = np.bincount(ranked.bins).astype(np.float64)
    return (
        np.bincount(ranked.bins, ranked.scores) / rows,
        np.bincount(ranked.bins, ranked.labels) / rows,
        rows,
    )


def all_negative(labels: Array) -> dict[str, float]:
    """Return accuracy and weighted F1 of flagging nobody: what a useless model scores on rare positives."""
    negatives = 1 - float(np.mean(labels))
    return {
        "baseline_accuracy": negatives,
        "baseline_weighted_f1": negatives * 2 * negatives / (1 + negatives),
    }


def threshold_for(scores: Array, fraction: float) -> float:
    """Return the threshold at or above which nearest to `fraction` of the rows lie, and at least one.

    It lies half way between two neighbouring scores, so that a rounding in the seventh digit, as between
    scikit-learn and ONNX, flags the same rows.
    """
    levels, counts = np.unique(np.asarray(scores, dtype=np.float64), return_counts=True)
    flagged = np.cumsum(counts[::-1])[::-1]
    at = int(np.argmin(np.abs(flagged - fraction * len(scores))))
    return float((levels[at] + levels[at - 1]) / 2) if at else float(levels[0])
