"""How good risks were, once the outcomes are known: discrimination and calibration, with their intervals."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

_Z: Final = 1.959964
"""The normal distribution's 97.5 % quantile: intervals are of 95 %."""

_FEW: Final = 10
"""Patients of each kind below which an interval would claim more than they can show."""


@dataclass(frozen=True, slots=True)
class Quality:
    """The figures of n outcomes; NaN for what they cannot show.

    `auc` has the interval `auc_low` to `auc_high`. `expected` is the mean risk, and `observed` the share that
    was readmitted, with the interval `observed_low` to `observed_high`.
    """

    rows: int
    auc: float = math.nan
    auc_low: float = math.nan
    auc_high: float = math.nan
    expected: float = math.nan
    observed: float = math.nan
    observed_low: float = math.nan
    observed_high: float = math.nan


def measure(risks: np.ndarray, readmitted: np.ndarray) -> Quality:
    """Measure risks [n] against outcomes [n]."""
    rows = len(risks)
    if not rows:
        return Quality(0)
    auc = roc_auc(risks, readmitted)
    auc_low, auc_high = _auc_interval(risks, readmitted)
    positives = int(readmitted.sum())
    enough = min(positives, rows - positives) >= _FEW
    low, high = _share_interval(positives, rows) if enough else (math.nan, math.nan)
    return Quality(
        rows,
        math.nan if auc is None else auc,
        auc_low,
        auc_high,
        float(risks.mean()),
        positives / rows,
        low,
        high,
    )


def roc_auc(risks: np.ndarray, readmitted: np.ndarray) -> float | None:
    """Return the share of pairs (readmitted, not) in which the readmitted one had the higher risk.

    Ties count half (the Mann-Whitney statistic); None if one of the classes is missing.
    """
    positives = int(readmitted.sum())
    negatives = len(readmitted) - positives
    if not positives or not negatives:
        return None
    above = _ranks(risks)[readmitted].sum() - positives * (positives + 1) / 2
    return float(above / (positives * negatives))


def _auc_interval(risks: np.ndarray, readmitted: np.ndarray) -> tuple[float, float]:
    """Return DeLong's interval, on the scale of log odds so that it stays between 0 and 1.

    DeLong et al., "Comparing the areas under two or more correlated receiver operating characteristic
    curves", 1988. NaN for fewer than ten patients of a kind, and for a perfect order, which has no variance.
    """
    positive, negative = risks[readmitted], risks[~readmitted]
    m, n = len(positive), len(negative)
    if min(m, n) < _FEW:
        return math.nan, math.nan
    ranks = _ranks(risks)
    # For each patient the share of the other kind that is on the right side of it.
    right_of_positive = (ranks[readmitted] - _ranks(positive)) / n
    right_of_negative = 1 - (ranks[~readmitted] - _ranks(negative)) / m
    auc = float(right_of_positive.mean())
    error = math.sqrt(right_of_positive.var(ddof=1) / m + right_of_negative.var(ddof=1) / n)
    if not 0 < auc < 1 or error == 0:
        return math.nan, math.nan
    middle, reach = math.log(auc / (1 - auc)), _Z * error / (auc * (1 - auc))
    return 1 / (1 + math.exp(reach - middle)), 1 / (1 + math.exp(-reach - middle))


def _share_interval(count: int, rows: int) -> tuple[float, float]:
    """Return Wilson's interval of a share."""
    share, square = count / rows, _Z * _Z / rows
    middle = (share + square / 2) / (1 + square)
    reach = math.sqrt(share * (1 - share) * square + square * square / 4) / (1 + square)
    return middle - reach, middle + reach


def _ranks(values: np.ndarray) -> np.ndarray:
    """Return the rank of each value, the middle one for ties."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: np.ndarray = (last - (counts - 1) / 2)[inverse]
    return ranks
