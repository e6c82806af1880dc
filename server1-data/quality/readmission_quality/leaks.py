"""What the same data seems to promise once something leaks: figures to recognise a leak by.

Each is measured on one fold of patients, so it compares with `honest` and not with the pooled figures.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import RandomForestClassifier

from readmission_data.clean import cohort
from readmission_data.clean.encoding import Float32Array
from readmission_data.encounters.columns import TARGET
from readmission_data.training.metrics import evaluate
from readmission_data.training.search import risk
from readmission_quality import pipelines
from readmission_quality.encounters import Encounters
from readmission_quality.evaluation import fold_numbers
from readmission_quality.pipelines import Labels, Prepared, Scores

LATE: Final = ">30"
_FOLDS: Final = 5


def measure(encounters: Encounters, seed: int) -> dict[str, float]:
    """Return the ROC AUC without a leak ("honest") and with each one."""
    test = fold_numbers(encounters.patients, _FOLDS, seed) == 0
    prepared = pipelines.prepare(encounters.frame[~test], encounters.frame[test], seed)
    encoding = prepared.encoding.select(prepared.chosen)
    train_features, test_features = prepared.columns(prepared.chosen), encoding.transform(prepared.test)
    labels = encounters.labels[test]
    return {
        "honest": _auc(labels, pipelines.trees(train_features, prepared.labels, test_features, seed)),
        "readmissions after 30 days dropped": _without_late(prepared, train_features, test_features, seed),
        "encounters of a patient counted, including later ones": _auc(
            labels,
            pipelines.trees(
                _beside(train_features, encounters.visits[~test]),
                prepared.labels,
                _beside(test_features, encounters.visits[test]),
                seed,
            ),
        ),
        "rates that include the label of the row itself": _auc(
            labels,
            pipelines.trees(encoding.transform(prepared.train), prepared.labels, test_features, seed),
        ),
        "oversampled before the rows are split": _oversampled(train_features, prepared.labels, seed),
    }


def _auc(labels: Labels, scores: Scores) -> float:
    return evaluate(labels, scores, threshold=0.5)["roc_auc"]


def _beside(features: Float32Array, counts: npt.NDArray[np.int64]) -> Float32Array:
    return np.column_stack([features, counts]).astype(np.float32)


def _without_late(prepared: Prepared, train: Float32Array, test: Float32Array, seed: int) -> float:
    kept_train, kept_test = ((frame[TARGET] != LATE).to_numpy() for frame in (prepared.train, prepared.test))
    scores = pipelines.trees(train[kept_train], prepared.labels[kept_train], test[kept_test], seed)
    return _auc(cohort.label(prepared.test)[kept_test], scores)


def _oversampled(features: Float32Array, labels: Labels, seed: int) -> float:
    """Repeat positives until both labels are as many, then part rows at random: copies lie on both sides."""
    rng = np.random.default_rng(seed)
    positives = np.flatnonzero(labels)
    wanted = len(labels) - 2 * len(positives)
    rows = rng.permutation(np.concatenate([np.arange(len(labels)), rng.choice(positives, max(wanted, 0))]))
    tested, trained = np.split(rows, [len(rows) // _FOLDS])
    forest = RandomForestClassifier(60, n_jobs=1, random_state=seed)
    forest.fit(features[trained], labels[trained])
    return _auc(labels[tested], risk(forest, features[tested]))
