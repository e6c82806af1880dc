"""The features that a score depends on: how much ROC AUC is lost when one is shuffled."""

from typing import Final

import numpy as np
import pandas as pd
from sklearn.base import ClassifierMixin

from readmission_data.training.data import SplitRows
from readmission_data.training.metrics import METRICS, Array, Ranked, Resample
from readmission_data.training.search import risk

REPEATS: Final = 3
ROWS: Final = 4_000


def permutation_importance(
    estimator: ClassifierMixin, validation: SplitRows, names: list[str], seed: int
) -> pd.DataFrame:
    """Return feature, importance and spread (mean and standard deviation of the loss), the greatest first.

    Measured on at most `ROWS` rows of validation, each feature shuffled `REPEATS` times.
    """
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.permutation(len(validation.labels))[:ROWS])
    features, labels = validation.features[rows].copy(), validation.labels[rows]
    whole = _roc_auc(labels, risk(estimator, features))
    orders = [rng.permutation(len(rows)) for _ in range(REPEATS)]
    losses = np.empty((len(names), REPEATS))
    for at in range(len(names)):
        kept = features[:, at].copy()
        for repeat, order in enumerate(orders):
            features[:, at] = kept[order]
            losses[at, repeat] = whole - _roc_auc(labels, risk(estimator, features))
        features[:, at] = kept
    table = pd.DataFrame({"feature": names, "importance": losses.mean(axis=1), "spread": losses.std(axis=1)})
    return table.sort_values("importance", ascending=False, kind="stable", ignore_index=True)


def _roc_auc(labels: Array, scores: Array) -> float:
    return float(METRICS["roc_auc"](Resample(Ranked(labels, scores), np.ones((1, len(labels)))))[0])
