"""The candidates: their estimators, and the settings that the search may try.

All take float32 features of shape [n, features], are trained unweighted (a balanced class weight ruins the
calibration and gains no ROC AUC), run on one thread, and convert exactly to ONNX. Trees see unscaled inputs:
a scaler in front of them moves values across their thresholds in the conversion.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from lightgbm import LGBMClassifier
from sklearn.base import ClassifierMixin
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

Params = Mapping[str, Any]


@dataclass(frozen=True)
class Candidate:
    """An estimator, the settings known to do well, and the values a search may draw instead.

    `first` is always tried; `space` gives the values of each setting, all equally likely.
    """

    build: Callable[[Params, int], ClassifierMixin]
    first: Params
    space: Mapping[str, Sequence[Any]]


def _logistic_regression(params: Params, seed: int) -> ClassifierMixin:
    model = LogisticRegression(max_iter=500, random_state=seed, **params)
    return Pipeline([("scale", StandardScaler()), ("model", model)])


def _random_forest(params: Params, seed: int) -> ClassifierMixin:
    return RandomForestClassifier(n_estimators=80, max_samples=0.4, n_jobs=1, random_state=seed, **params)


def _hist_gradient_boosting(params: Params, seed: int) -> ClassifierMixin:
    # No early stopping: its held-out part would be drawn by rows, and would share patients with the rest.
    return HistGradientBoostingClassifier(early_stopping=False, random_state=seed, **params)


def _lightgbm(params: Params, seed: int) -> ClassifierMixin:
    return LGBMClassifier(
        subsample=0.7,
        subsample_freq=1,
        deterministic=True,
        force_row_wise=True,
        n_jobs=1,
        random_state=seed,
        verbose=-1,
        **params,
    )


CANDIDATES: Final[dict[str, Candidate]] = {
    "logistic_regression": Candidate(
        _logistic_regression,
        first={"C": 0.1},
        space={"C": (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)},
    ),
    "random_forest": Candidate(
        _random_forest,
        first={"min_samples_leaf": 50, "max_features": 0.15},
        space={"min_samples_leaf": (30, 50, 80), "max_features": (0.08, 0.15, 0.25)},
    ),
    "hist_gradient_boosting": Candidate(
        _hist_gradient_boosting,
        first={
            "learning_rate": 0.05,
            "max_iter": 200,
            "max_leaf_nodes": 15,
            "min_samples_leaf": 100,
            "l2_regularization": 10.0,
            "max_features": 0.3,
        },
        space={
            "learning_rate": (0.03, 0.05),
            "max_iter": (150, 200, 300),
            "max_leaf_nodes": (10, 15, 20),
            "min_samples_leaf": (100, 150, 200),
            "l2_regularization": (3.0, 10.0, 30.0),
            "max_features": (0.2, 0.3, 0.4),
        },
    ),
    "lightgbm": Candidate(
        _lightgbm,
        first={
            "learning_rate": 0.03,
            "n_estimators": 300,
            "num_leaves": 20,
            "min_child_samples": 150,
            "reg_lambda": 10.0,
            "colsample_bytree": 0.3,
        },
        space={
            "learning_rate": (0.02, 0.03, 0.04),
            "n_estimators": (200, 300, 400),
            "num_leaves": (12, 16, 20, 24),
            "min_child_samples": (100, 150, 200),
            "reg_lambda": (3.0, 10.0, 30.0),
            "colsample_bytree": (0.2, 0.3, 0.4),
        },
    ),
}
"""Each candidate by name."""

TRUSTED_TYPES: Final = (
    "collections.OrderedDict",
    "lightgbm.basic.Booster",
    "lightgbm.sklearn.LGBMClassifier",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.tree._tree.Tree",
)
"""The types that skops may build, in addition to its own list, when it loads a candidate."""
