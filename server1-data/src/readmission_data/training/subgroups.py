"""Quality of the score on test by race, gender and age."""

from collections.abc import Iterator
from typing import Final

import numpy as np
import pandas as pd

from readmission_data.encounters.columns import MISSING
from readmission_data.training.bootstrap import intervals
from readmission_data.training.metrics import Array, evaluate

GROUP_COLUMNS: Final = ("race", "gender", "age")

SMALLEST: Final = 10
"""Smaller groups are counted but not described, because their figures would be about individuals."""

_METRICS: Final = ("average_precision", "recall", "precision", "calibration_error")


def level_name(level: str) -> str:
    """Return a level as reports show it."""
    return "not recorded" if level == MISSING else level


def levels(groups: pd.DataFrame) -> Iterator[tuple[str, str, Array]]:
    """Yield column, level (`?` if missing) and mask [n] of each group in a frame [n, columns]."""
    filled = groups.astype(object).where(groups.notna(), MISSING)
    for column in filled.columns:
        for level in sorted(filled[column].unique()):
            yield str(column), str(level), (filled[column] == level).to_numpy(dtype=bool)


def subgroups(
    labels: Array,
    scores: Array,
    groups: pd.DataFrame,
    *,
    threshold: float,
    clusters: Array,
    samples: int,
    seed: int,
) -> pd.DataFrame:
    """Return one row per level of each column of `groups` (shape [n, columns]), the whole split first.

    Columns: column, level (`?` where missing), encounters, positives, observed_rate, mean_risk, flagged
    (share at or above the threshold), roc_auc with roc_auc_low and roc_auc_high, average_precision, recall,
    precision and calibration_error. A value that cannot be measured, such as the ROC AUC of a group without
    positives, is NaN, and so is all but the count of a group smaller than `SMALLEST`.
    """
    rows = []
    for column, level, at in [("all", "all", np.ones(len(labels), dtype=bool)), *levels(groups)]:
        row = {"column": column, "level": level, "encounters": int(at.sum())}
        if at.sum() >= SMALLEST:
            row |= _describe(labels[at], scores[at], clusters[at], threshold, samples, seed)
        rows.append(row)
    return pd.DataFrame(rows)


def _describe(
    labels: Array, scores: Array, clusters: Array, threshold: float, samples: int, seed: int
) -> dict[str, float]:
    drawn = intervals(
        labels, scores, threshold=threshold, samples=samples, seed=seed, clusters=clusters, names=("roc_auc",)
    )["roc_auc"]
    measured = evaluate(labels, scores, threshold)
    return {
        "positives": float(labels.sum()),
        "observed_rate": float(labels.mean()),
        "mean_risk": float(scores.mean()),
        "flagged": float((scores >= threshold).mean()),
        "roc_auc": drawn.value,
        "roc_auc_low": drawn.low,
        "roc_auc_high": drawn.high,
        **{name: measured[name] for name in _METRICS},
    }
