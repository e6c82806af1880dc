"""The candidates: what each is built from, and which settings the search may try.

All take float32 features of shape [n, features], are trained unweighted (a balanced class weight ruins the
calibration and gains no ROC AUC), run on one thread, and convert exactly to ONNX. Trees see unscaled inputs:
a scaler in front of them moves values across their thresholds in the conversion.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from lightgbm import LGBMClassifier
from sklearn.base import ClassifierMixin
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import LabelEncoder, StandardScaler

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
    return RandomForestClassifier(n_estimators=120, max_samples=0.5, n_jobs=1, random_state=seed, **params)


def _hist_gradient_boosting(params: Params, seed: int) -> ClassifierMixin:
    # No early stopping: its held-out part would be drawn by rows, and so share patients with the rest.
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
        first={"min_samples_leaf": 30, "max_features": 0.15},
        space={"min_samples_leaf": (20, 30, 50, 80), "max_features": (0.1, 0.15, 0.25, 0.4)},
    ),
    "hist_gradient_boosting": Candidate(
        _hist_gradient_boosting,
        first={
            "learning_rate": 0.05,
            "max_iter": 150,
            "max_leaf_nodes": 15,
            "min_samples_leaf": 100,
            "l2_regularization": 10.0,
            "max_features": 0.3,
        },
        space={
            "learning_rate": (0.03, 0.05, 0.08),
            "max_iter": (100, 150, 200, 300),
            "max_leaf_nodes": (8, 15, 24),
            "min_samples_leaf": (50, 100, 200),
            "l2_regularization": (1.0, 10.0, 30.0),
            "max_features": (0.2, 0.3, 0.5),
        },
    ),
    "lightgbm": Candidate(
        _lightgbm,
        first={
            "learning_rate": 0.05,
            "n_estimators": 150,
            "num_leaves": 15,
            "min_child_samples": 100,
            "reg_lambda": 10.0,
            "colsample_bytree": 0.3,
        },
        space={
            "learning_rate": (0.03, 0.05, 0.08),
            "n_estimators": (100, 150, 200, 300),
            "num_leaves": (8, 15, 24),
            "min_child_samples": (50, 100, 200),
            "reg_lambda": (1.0, 10.0, 30.0),
            "colsample_bytree": (0.2, 0.3, 0.5),
        },
    ),
}
"""Each candidate by name. `BLEND` is built from their winners and has no settings of its own."""

BLEND: Final = "blend"
BLEND_MEMBERS: Final = ("random_forest", "hist_gradient_boosting", "lightgbm")

TRUSTED_TYPES: Final = (
    "collections.OrderedDict",
    "lightgbm.basic.Booster",
    "lightgbm.sklearn.LGBMClassifier",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.tree._tree.Tree",
)
"""What skops may build, beyond its own list, when it reads a candidate back."""


def blend(members: Mapping[str, ClassifierMixin]) -> VotingClassifier:
    """Return the plain mean of the probabilities of fitted estimators, without fitting them again."""
    voting = VotingClassifier(list(members.items()), voting="soft", n_jobs=1)
    voting.estimators_ = list(members.values())
    voting.named_estimators_ = dict(members)
    voting.le_ = LabelEncoder().fit(np.array([0, 1]))
    voting.classes_ = voting.le_.classes_
    return voting
