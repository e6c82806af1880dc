"""The value of a score for a team that acts on it: net benefit, and patients found per call."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from sklearn.isotonic import IsotonicRegression

from readmission_data.training.metrics import Array, Ranked, Resample

THRESHOLDS: Final = (0.05, 0.10, 0.15, 0.20, 0.25, 0.30)
"""Risks at which somebody may decide to act."""

SHARES: Final = (0.05, 0.10, 0.20)
"""Shares of the patients that a team may have time for."""


@dataclass(frozen=True, slots=True)
class Workload:
    """Flagging a share of the patients: the share of flagged who return, and of returning who are flagged."""

    flagged: float
    precision: float
    recall: float

    def __str__(self) -> str:
        """Return the sentence that a reader can act on."""
        return (
            f"Flag {self.flagged:.0%}: {100 * self.precision:.0f} of 100 flagged patients return; "
            f"{100 * self.recall:.0f} of 100 who return are flagged."
        )


def net_benefit(labels: Array, risks: Array, thresholds: Sequence[float] = THRESHOLDS) -> list[float]:
    """Return the net benefit of acting at each threshold (Vickers and Elkin 2006).

    True positives per patient, less the false positives weighted by the odds of the threshold: acting at a
    risk of 10 % means that one missed return is as bad as nine unnecessary calls. Risks of one give the
    benefit of acting on everybody; acting on nobody has no benefit.
    """
    found = []
    for threshold in thresholds:
        flagged = risks >= threshold
        hits = float(np.mean(flagged & (labels == 1)))
        misses = float(np.mean(flagged & (labels == 0)))
        found.append(hits - misses * threshold / (1 - threshold))
    return found


def workload(labels: Array, scores: Array, shares: Sequence[float] = SHARES) -> list[Workload]:
    """Return the result of flagging each share of the highest scores; ties count in proportion."""
    at = Resample(Ranked(labels, scores), np.ones((1, len(labels))))
    hits = [float(np.interp(share * len(labels), at.totals[0], at.hits[0])) for share in shares]
    return [
        Workload(share, hit / (share * len(labels)), hit / float(at.positives[0]))
        for share, hit in zip(shares, hits, strict=True)
    ]


def rate_by_points(points: Array, labels: Array) -> Array:
    """Return the share of positives for each number of points from 0, made monotonic by pooling neighbours.

    This turns an index into a risk. Points that no row has get their neighbor's rate.
    """
    model = IsotonicRegression(out_of_bounds="clip").fit(points, labels)
    rates: Array = model.predict(np.arange(int(points.max()) + 1))
    return rates
