"""For whom the score is worse: quality on test by race, gender and age."""

from typing import Final

import pandas as pd

from readmission_data.encounters.columns import MISSING
from readmission_data.training.bootstrap import intervals
from readmission_data.training.metrics import Array

GROUP_COLUMNS: Final = ("race", "gender", "age")

SMALLEST: Final = 10
"""A group of fewer encounters is counted but not described: its figures would be about persons."""

_METRICS: Final = ("roc_auc", "average_precision", "recall", "precision", "calibration_error")


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
    """Return one row a level of each column of `groups` (shape [n, columns]), the whole split first.

    Columns: column, level (`?` where missing), encounters, positives, observed_rate, mean_risk, flagged
    (share at or above the threshold), roc_auc with roc_auc_low and roc_auc_high, average_precision, recall,
    precision and calibration_error. A value that cannot be measured, such as the ROC AUC of a group without
    positives, is NaN, and so is all but the count of a group smaller than `SMALLEST`.
    """
    filled = groups.astype(object).where(groups.notna(), MISSING)
    masks = [("all", "all", pd.Series(data=True, index=filled.index))]
    masks += [
        (str(column), str(level), filled[column] == level)
        for column in filled.columns
        for level in sorted(filled[column].unique())
    ]
    rows = []
    for column, level, mask in masks:
        at = mask.to_numpy()
        row = {"column": column, "level": level, "encounters": int(at.sum())}
        if at.sum() >= SMALLEST:
            row |= _describe(labels[at], scores[at], clusters[at], threshold, samples, seed)
        rows.append(row)
    return pd.DataFrame(rows)


def _describe(
    labels: Array, scores: Array, clusters: Array, threshold: float, samples: int, seed: int
) -> dict[str, float]:
    measured = intervals(
        labels, scores, threshold=threshold, samples=samples, seed=seed, clusters=clusters, names=_METRICS
    )
    return {
        "positives": float(labels.sum()),
        "observed_rate": float(labels.mean()),
        "mean_risk": float(scores.mean()),
        "flagged": float((scores >= threshold).mean()),
        "roc_auc": measured["roc_auc"].value,
        "roc_auc_low": measured["roc_auc"].low,
        "roc_auc_high": measured["roc_auc"].high,
        **{name: measured[name].value for name in _METRICS[1:]},
    }
