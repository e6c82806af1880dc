"""On the real data set, each candidate's graph equals its model on all of test."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.base import ClassifierMixin

from readmission_data.clean import cohort
from readmission_data.clean.encoding import Encoding
from readmission_data.clean.fitting import fit
from readmission_data.encounters.columns import PREDICTORS
from readmission_data.model_version import examples, golden, graph, parity, scoring
from readmission_data.training.candidates import CANDIDATES
from support.encounters import read_csv

FIT_ROWS = 15_000

QUICK = {
    "logistic_regression": {"C": 0.1},
    "random_forest": {"min_samples_leaf": 20, "max_features": 0.1},
    "hist_gradient_boosting": {"max_iter": 60, "max_leaf_nodes": 15},
    "lightgbm": {"n_estimators": 80, "num_leaves": 20},
}
"""Every kind of candidate at settings that fit in seconds; the conversion does not depend on size."""


@dataclass(frozen=True)
class Real:
    frame: pd.DataFrame
    test: pd.DataFrame
    encoding: Encoding
    features: np.ndarray
    labels: np.ndarray

    def fitted(self, name: str) -> ClassifierMixin:
        model = CANDIDATES[name].build(QUICK[name], 1)
        return model.fit(self.features[:FIT_ROWS], self.labels[:FIT_ROWS])


@pytest.fixture(scope="module")
def real(real_dataset: Path) -> Real:
    frame = read_csv(real_dataset)
    # A test split as large as the product's: 15 % of the patients.
    in_test = (frame["patient_nbr"] % 20 < 3).to_numpy()
    kept = cohort.keep(frame)
    train, test = frame[kept & ~in_test].reset_index(drop=True), frame[kept & in_test].reset_index(drop=True)
    encoding, features = fit(train, 1)
    return Real(frame, test, encoding, features, cohort.label(train))


def test_every_candidate_is_tested() -> None:
    assert set(QUICK) == set(CANDIDATES)


@pytest.mark.parametrize("name", list(QUICK))
def test_the_graph_is_the_model(real: Real, name: str) -> None:
    model = real.fitted(name)
    built = graph.build(real.encoding, model)
    invented = golden.draw(real.test, 2_000, 3)
    worst = parity.worst_difference(built, real.encoding, model, [real.test, invented])
    # Far below what is allowed: the graph computes in double precision.
    assert worst < parity.TOLERANCE / 5
    assert len(real.test) > 14_000


def test_every_code_of_the_data_set_is_grouped_alike(real: Real) -> None:
    """All ICD-9 codes as in the CSV, each in all three fields, with the rest of the patient unchanged."""
    codes = sorted({code for place in (1, 2, 3) for code in real.frame[f"diag_{place}"].dropna()})
    assert {"8", "250.83", "V45"} <= set(codes)
    patient = pd.DataFrame([examples.PATIENTS[1]] * len(codes))
    model = real.fitted("lightgbm")
    session = scoring.session(graph.build(real.encoding, model).SerializeToString())
    for place in (1, 2, 3):
        rows = patient.assign(**{f"diag_{place}": codes})
        scores = scoring.score(session, rows, real.encoding.numeric, real.encoding.categorical)
        expected = parity.risk(real.encoding, model, rows)
        assert np.abs(scores - expected).max() < parity.TOLERANCE / 5


def test_no_example_is_a_real_patient(real: Real) -> None:
    names = [column.name for column in PREDICTORS]
    for patient in examples.PATIENTS:
        # Even with a few changed fields it is not a real patient.
        same = sum((real.frame[name] == patient[name]).to_numpy(dtype=int) for name in names)
        assert int(same.max()) < len(names) - 2
