import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from readmission_data.clean import cohort, fitting
from readmission_data.clean.encoding import STEP, FeatureKind
from readmission_data.clean.rates import RATES


@pytest.fixture(scope="module")
def fitted(train):
    return fitting.fit(train, seed=1)


def rate_columns(encoding):
    return [
        position for position, feature in enumerate(encoding.features) if feature.kind is FeatureKind.RATE
    ]


def test_a_rate_is_the_levels_mean_pulled_towards_the_overall_one(fitted, train):
    encoding, _ = fitted
    label = pd.Series(cohort.label(train))
    payer = train["payer_code"].fillna("?")
    counts, hits = label.groupby(payer).count(), label.groupby(payer).sum()
    expected = payer.map((hits + 30 * label.mean()) / (counts + 30))
    found = encoding.transform(train)[:, encoding.names.index("payer_rate")]
    np.testing.assert_allclose(found, expected, atol=STEP)


def test_an_unknown_level_gets_the_overall_rate(fitted, train):
    encoding, _ = fitted
    unknown = train.iloc[:1].assign(payer_code="XX", diag_1="E999.9", medical_specialty="Nobody")
    features = dict(zip(encoding.names, encoding.transform(unknown)[0], strict=True))
    overall = cohort.label(train).mean()
    for name in ("payer_rate", "diag_1_rate", "diag_1_stem_rate", "discharge_by_specialty_by_payer_rate"):
        assert features[name] == pytest.approx(overall, abs=STEP)


def test_the_train_matrix_differs_from_the_encoding_in_the_rates_alone(fitted, train):
    encoding, matrix = fitted
    rates = rate_columns(encoding)
    assert len(rates) == len(RATES)
    others = np.setdiff1d(np.arange(len(encoding.features)), rates)
    plain = encoding.transform(train)
    np.testing.assert_array_equal(matrix[:, others], plain[:, others])
    assert (matrix[:, rates] != plain[:, rates]).any(axis=0).all()


def test_the_same_train_gives_the_same_bytes(fitted, train):
    encoding, matrix = fitted
    again, matrix_again = fitting.fit(train.copy(), seed=1)
    assert matrix.tobytes() == matrix_again.tobytes()
    pd.testing.assert_frame_equal(encoding.to_frame(), again.to_frame())
    other_seed, _ = fitting.fit(train, seed=2)
    # The seed changes only the folds.
    pd.testing.assert_frame_equal(encoding.to_frame(), other_seed.to_frame())


def test_no_row_sees_the_label_of_its_own_patient(fitted, train):
    encoding, matrix = fitted
    for patient in train["patient_nbr"].value_counts().index[[0, 1, 50, -1]]:
        own = (train["patient_nbr"] == patient).to_numpy()
        flipped = train.copy()
        was_early = flipped.loc[own, "readmitted"] == "<30"
        flipped.loc[own, "readmitted"] = np.where(was_early, "NO", "<30")
        changed, changed_matrix = fitting.fit(flipped, seed=1)
        np.testing.assert_array_equal(changed_matrix[own], matrix[own])
        # The flip did change the encoding and other rows.
        assert not changed.to_frame().equals(encoding.to_frame())
        assert (changed_matrix[~own] != matrix[~own]).any()


def test_shuffled_labels_leave_no_rate_that_tells(train):
    generator = np.random.default_rng(5)
    crossed, leaky = [], []
    for _ in range(3):
        shuffled = train.assign(readmitted=generator.permutation(train["readmitted"].to_numpy()))
        encoding, matrix = fitting.fit(shuffled, seed=1)
        label = cohort.label(shuffled)
        own = encoding.transform(shuffled)
        rates = rate_columns(encoding)
        crossed.append([roc_auc_score(label, matrix[:, rate]) for rate in rates])
        leaky.append([roc_auc_score(label, own[:, rate]) for rate in rates])
    # The other folds' rate is even slightly lower if the row's own label is 1, because a level's total is
    # fixed.
    assert np.mean(crossed) == pytest.approx(0.5, abs=0.015)
    assert np.mean(crossed, axis=0).max() < 0.53
    # The same check of rates that did see their own label shows a leak.
    assert np.mean(leaky, axis=0).max() > 0.7


def test_a_model_of_shuffled_labels_knows_nothing_about_other_patients(train):
    later = (train["patient_nbr"] % 3 == 0).to_numpy()
    generator = np.random.default_rng(6)
    aucs = []
    for _ in range(4):
        shuffled = train.assign(readmitted=generator.permutation(train["readmitted"].to_numpy()))
        encoding, matrix = fitting.fit(shuffled[~later], seed=1)
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01))
        model.fit(matrix, cohort.label(shuffled[~later]))
        scores = model.predict_proba(encoding.transform(shuffled[later]))[:, 1]
        aucs.append(roc_auc_score(cohort.label(shuffled[later]), scores))
    assert np.mean(aucs) == pytest.approx(0.5, abs=0.05)
