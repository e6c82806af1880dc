"""A small generated sample, its encoding and one quick model of each kind."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest
from lightgbm import LGBMClassifier
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from readmission_data.clean import cohort
from readmission_data.clean.encoding import Encoding
from readmission_data.clean.fitting import fit
from readmission_data.dataset import synthetic
from readmission_data.model_version import graph
from support.encounters import read_csv


@dataclass(frozen=True)
class Sample:
    """Train and test frames of the cohort, the fitted encoding and train's features and labels."""

    train: pd.DataFrame
    test: pd.DataFrame
    encoding: Encoding
    features: np.ndarray
    labels: np.ndarray


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    path = tmp_path_factory.mktemp("model_version") / "sample.csv"
    synthetic.write(path, 4_000, seed=11)
    frame = read_csv(path)
    frame = frame[cohort.keep(frame)].reset_index(drop=True)
    late = (frame["patient_nbr"] % 4 == 0).to_numpy()
    train, test = frame[~late].reset_index(drop=True), frame[late].reset_index(drop=True)
    encoding, features = fit(train, 3)
    return Sample(train, test, encoding, features, cohort.label(train))


@pytest.fixture(scope="session")
def models(sample: Sample) -> dict[str, object]:
    """One quick model of each kind of candidate, fitted on the sample."""
    found: dict[str, object] = {
        "logistic_regression": make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300)),
        "random_forest": RandomForestClassifier(15, min_samples_leaf=20, random_state=1, n_jobs=1),
        "hist_gradient_boosting": HistGradientBoostingClassifier(
            max_iter=25, early_stopping=False, random_state=1
        ),
        "lightgbm": LGBMClassifier(n_estimators=40, num_leaves=15, n_jobs=1, verbose=-1, random_state=1),
    }
    for model in found.values():
        model.fit(sample.features, sample.labels)  # type: ignore[attr-defined]
    return found


@pytest.fixture(scope="session")
def graphs(sample: Sample, models: dict[str, object]) -> dict[str, onnx.ModelProto]:
    """The graph of each of these models."""
    return {name: graph.build(sample.encoding, model) for name, model in models.items()}


CANDIDATES = ("logistic_regression", "random_forest", "hist_gradient_boosting", "lightgbm")


@pytest.fixture(params=CANDIDATES)
def candidate(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "version"
