"""Everything that is fitted on train rows and scores test rows: the product's pipeline and plainer ones."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from lightgbm import LGBMClassifier
from sklearn.base import ClassifierMixin
from sklearn.compose import ColumnTransformer
from sklearn.feature_selection import SelectKBest, VarianceThreshold
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from readmission_data.clean import cohort, fitting, icd9, selection
from readmission_data.clean.encoding import Encoding, Float32Array
from readmission_data.encounters.columns import MISSING, PREDICTORS, Kind
from readmission_data.model_version import graph, scoring
from readmission_data.training.candidates import CANDIDATES
from readmission_data.training.search import risk

Scores = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int8]

HEADLINE: Final = "lightgbm"
"""The candidate whose settings every comparison uses."""


@dataclass(frozen=True)
class Prepared:
    """Train rows and test rows after the product's encoding and choice of features, both fitted on train.

    `matrix` [train rows, every feature] is cross-fitted; `chosen` are the columns of it that models see.
    """

    train: pd.DataFrame
    test: pd.DataFrame
    encoding: Encoding
    matrix: Float32Array
    labels: Labels
    chosen: tuple[str, ...]

    def columns(self, names: Sequence[str]) -> Float32Array:
        """Return train's features `names` [train rows, names]."""
        every = self.encoding.names
        return np.ascontiguousarray(self.matrix[:, [every.index(name) for name in names]])


def prepare(train: pd.DataFrame, test: pd.DataFrame, seed: int) -> Prepared:
    """Fit the encoding and choose the features, as `preprocess_incremental` does."""
    encoding, matrix = fitting.fit(train, seed)
    labels = cohort.label(train)
    patients = train["patient_nbr"].to_numpy(np.int64)
    chosen = selection.select(matrix, labels, patients, encoding.names, seed=seed)
    return Prepared(train, test, encoding, matrix, labels, tuple(chosen["name"]))


def estimator(candidate: str, seed: int) -> ClassifierMixin:
    """Return an unfitted candidate at the settings that the product's search always tries."""
    settings = CANDIDATES[candidate]
    return settings.build(settings.first, seed)


def served(prepared: Prepared, candidate: str, seed: int) -> tuple[Scores, float]:
    """Return the scores [test rows] of the ONNX graph, from raw fields, as server 3 computes them.

    The second value is the largest difference from scikit-learn's own probabilities.
    """
    encoding = prepared.encoding.select(prepared.chosen)
    model = estimator(candidate, seed)
    model.fit(prepared.columns(prepared.chosen), prepared.labels)
    session = scoring.session(graph.build(encoding, model).SerializeToString())
    scores = scoring.score(session, prepared.test, encoding.numeric, encoding.categorical)
    difference = np.abs(scores - risk(model, encoding.transform(prepared.test))).max()
    return scores, float(difference)


def all_features(prepared: Prepared, seed: int) -> Scores:
    """Return the scores [test rows] of the headline candidate on every feature, none left out."""
    model = estimator(HEADLINE, seed)
    model.fit(prepared.matrix, prepared.labels)
    return risk(model, prepared.encoding.transform(prepared.test))


def plain_logistic_regression(train: pd.DataFrame, test: pd.DataFrame, seed: int) -> Scores:
    """Return the scores [test rows] of a regression on one-hots (three-digit ICD-9) and scaled integers."""
    pipeline = make_pipeline(
        _one_hots(min_frequency=20), LogisticRegression(C=0.1, max_iter=500, random_state=seed)
    )
    return _fit_and_score(pipeline, _fields(train, icd9.stem), _fields(test, icd9.stem), cohort.label(train))


def k_best_one_hots(train: pd.DataFrame, test: pd.DataFrame, seed: int) -> Scores:
    """Return the scores [test rows] of the usual way: one-hots (ICD-9 groups), the 50 of highest F, trees.

    The trees are the headline candidate's, so that only the features differ.
    """
    pipeline = make_pipeline(
        _one_hots(), VarianceThreshold(), SelectKBest(k=selection.CHOSEN), estimator(HEADLINE, seed)
    )
    return _fit_and_score(pipeline, _fields(train, _group), _fields(test, _group), cohort.label(train))


def trees(features: Float32Array, labels: Labels, test: Float32Array, seed: int) -> Scores:
    """Return the scores [test rows] of the headline candidate on any features."""
    model: LGBMClassifier = estimator(HEADLINE, seed)
    return risk(model.fit(features, labels), test)


def _group(code: str) -> str:
    return MISSING if code == MISSING else icd9.group(icd9.stem(code))


def _fields(frame: pd.DataFrame, diagnosis: Callable[[str], str]) -> pd.DataFrame:
    """Return the 46 predictors, with "?" for missing values and rewritten diagnoses."""
    columns = {}
    for column in PREDICTORS:
        values = frame[column.name]
        if column.kind is not Kind.INTEGER:
            values = values.astype(object).where(values.notna(), MISSING)
        if column.kind is Kind.ICD9:
            values = values.map({code: diagnosis(code) for code in values.unique()})
        columns[column.name] = values
    return pd.DataFrame(columns)


def _one_hots(min_frequency: int | None = None) -> ColumnTransformer:
    integers = [column.name for column in PREDICTORS if column.kind is Kind.INTEGER]
    categories = [column.name for column in PREDICTORS if column.kind is not Kind.INTEGER]
    encoder = OneHotEncoder(
        handle_unknown="ignore", min_frequency=min_frequency, dtype=np.float32, sparse_output=True
    )
    return ColumnTransformer(
        [("integers", StandardScaler(), integers), ("categories", encoder, categories)], sparse_threshold=1.0
    )


def _fit_and_score(pipeline: Pipeline, train: pd.DataFrame, test: pd.DataFrame, labels: Labels) -> Scores:
    pipeline.fit(train, labels)
    scores: Scores = pipeline.predict_proba(test)[:, 1].astype(np.float64)
    return scores
