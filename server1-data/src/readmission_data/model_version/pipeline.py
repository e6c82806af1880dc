"""The scikit-learn pipeline of a version, for notebooks: from an encounters frame to probabilities.

It is stored in the version's folder `sklearn/`, in MLflow's scikit-learn flavor and the skops format. skops
builds only trusted types, so loading a model does not run any code from the file:

    mlflow.sklearn.load_model("models:/best_diabetes_readmission_model@production/sklearn")

needs only this package on the path.
"""

import json
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Self

import mlflow.sklearn
import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.pipeline import Pipeline

from readmission_data.clean.encoding import Encoding, Feature, FeatureKind, Float32Array
from readmission_data.clean.keys import Key
from readmission_data.training.candidates import TRUSTED_TYPES

FOLDER: Final = "sklearn"

_PACKAGES: Final = ("scikit-learn", "lightgbm", "skops")


class FeatureEncoder(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A fitted encoding as a step of a pipeline.

    Its parameters are plain lists and arrays, those of `Encoding`, so that they can be saved without pickle.
    `levels` is one text per key, a JSON list: skops would store a list of thousands of texts as thousands of
    nodes, which took seconds to write and to load.
    """

    def __init__(
        self,
        features: list[tuple[str, list[str], str]],
        numeric: list[str],
        keys: list[str],
        weights: Float32Array,
        levels: list[str],
        tables: list[Float32Array],
    ) -> None:
        self.features = features
        self.numeric = numeric
        self.keys = keys
        self.weights = weights
        self.levels = levels
        self.tables = tables

    @classmethod
    def of(cls, encoding: Encoding) -> Self:
        """Return the step that holds an encoding."""
        return cls(
            features=[(one.name, list(one.sources), one.kind.value) for one in encoding.features],
            numeric=list(encoding.numeric),
            keys=[str(key) for key in encoding.keys],
            weights=encoding.weights,
            levels=[json.dumps(levels) for levels in encoding.levels],
            tables=list(encoding.tables),
        )

    @cached_property
    def encoding(self) -> Encoding:
        """The encoding that the parameters describe, cached because building it takes a tenth of a second."""
        return Encoding(
            features=tuple(
                Feature(name, tuple(sources), FeatureKind(kind)) for name, sources, kind in self.features
            ),
            numeric=tuple(self.numeric),
            keys=tuple(Key.parse(key) for key in self.keys),
            weights=np.asarray(self.weights),
            levels=tuple(tuple(json.loads(levels)) for levels in self.levels),
            tables=tuple(np.asarray(table) for table in self.tables),
        )

    def __getstate__(self) -> dict[str, Any]:
        """Return the state to save: only the parameters."""
        state: dict[str, Any] = super().__getstate__()
        return {name: value for name, value in state.items() if name != "encoding"}

    def fit(self, _frame: pd.DataFrame, _labels: object = None) -> Self:
        """Do nothing: the encoding was fitted on train, cross-fitted, by `clean.fitting`."""
        return self

    def transform(self, frame: pd.DataFrame) -> npt.NDArray[np.float64]:
        """Return the features [n, F] of an encounters frame, in the precision that the graph computes in."""
        return self.encoding.transform(frame).astype(np.float64)

    def get_feature_names_out(self, _names: object = None) -> np.ndarray:
        """Return the features' names, in order."""
        return np.array([name for name, _, _ in self.features], dtype=object)

    def __sklearn_is_fitted__(self) -> bool:
        """Return True: there is nothing left to fit."""
        return True


TRUSTED: Final = (f"{FeatureEncoder.__module__}.{FeatureEncoder.__qualname__}", *TRUSTED_TYPES)
"""The types that skops may build when it loads a version's pipeline."""


def assemble(encoding: Encoding, estimator: object) -> Pipeline:
    """Return the pipeline of an encoding and the estimator that was trained on its features."""
    return Pipeline([("features", FeatureEncoder.of(encoding)), ("model", estimator)])


def save(pipeline: Pipeline, version_folder: Path) -> None:
    """Write the pipeline into a version's folder."""
    mlflow.sklearn.save_model(
        pipeline,
        path=version_folder / FOLDER,
        serialization_format="skops",
        skops_trusted_types=list(TRUSTED),
        pip_requirements=[f"{package}=={version(package)}" for package in _PACKAGES],
        pyfunc_predict_fn="predict_proba",
    )
