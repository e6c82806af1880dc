"""The three ways in which the encounters are parted: folds of patients, by time, and the product's splits."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import GroupKFold

from readmission_data.raw.split import Split
from readmission_data.training import bootstrap
from readmission_data.training.bootstrap import Interval
from readmission_data.training.candidates import CANDIDATES
from readmission_data.training.metrics import evaluate, threshold_for
from readmission_quality import pipelines
from readmission_quality.encounters import Encounters
from readmission_quality.pipelines import HEADLINE, Labels, Scores
from readmission_quality.progress import Progress

QUALITY: Final = ("roc_auc", "average_precision")
LAST_SHARE: Final = 0.15
"""The part of the encounters, the last by `encounter_id`, that the temporal test is about."""

ALL_FEATURES: Final = "all features"
PLAIN_REGRESSION: Final = "logistic regression on one-hots"
K_BEST: Final = "SelectKBest(50) over one-hots"

Rows = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Scored:
    """Labels and scores of n test rows, and which fold each was scored in."""

    labels: Labels
    scores: Scores
    patients: npt.NDArray[np.int64]
    folds: npt.NDArray[np.int64]

    def intervals(self, samples: int, seed: int) -> dict[str, Interval]:
        """Return ROC AUC and average precision over all rows, intervals from drawing patients."""
        return bootstrap.intervals(
            self.labels,
            self.scores,
            threshold=0.5,
            samples=samples,
            seed=seed,
            clusters=self.patients,
            names=QUALITY,
        )

    def by_fold(self, metric: str) -> list[float]:
        """Return a metric's value in each fold."""
        values = []
        for fold in np.unique(self.folds):
            rows = self.folds == fold
            values.append(evaluate(self.labels[rows], self.scores[rows], threshold=0.5)[metric])
        return values

    def metrics(self, flagged: float) -> dict[str, float]:
        """Return all the product's metrics, the threshold flagging the share `flagged` of the rows."""
        return self.metrics_at(threshold_for(self.scores, flagged))

    def metrics_at(self, threshold: float) -> dict[str, float]:
        """Return all the product's metrics at a threshold."""
        return evaluate(self.labels, self.scores, threshold)


@dataclass(frozen=True)
class CrossValidation:
    """What came out of the folds: the scores of each model, and how far ONNX was from scikit-learn."""

    models: dict[str, Scored]
    onnx_difference: float


@dataclass(frozen=True)
class HeldOutQuality:
    """One held-out part: its two measures, the rows, and the share of its rows that were readmitted early."""

    roc_auc: Interval
    average_precision: Interval
    train_rows: int
    test_rows: int
    prevalence: float


@dataclass(frozen=True)
class HeldOut:
    """One part of the encounters, scored by a model that was trained on another."""

    scored: Scored
    train_rows: int

    def quality(self, samples: int, seed: int) -> HeldOutQuality:
        """Return what the scores are worth; `samples` resamples stand behind each interval."""
        found = self.scored.intervals(samples, seed)
        labels = self.scored.labels
        return HeldOutQuality(
            found["roc_auc"],
            found["average_precision"],
            train_rows=self.train_rows,
            test_rows=len(labels),
            prevalence=float(labels.mean()),
        )


def cross_validate(
    encounters: Encounters, *, folds: int, seed: int, candidates: Sequence[str], progress: Progress
) -> CrossValidation:
    """Score every encounter by models that never saw its patient, fitted from scratch in each fold."""
    names = [*candidates, ALL_FEATURES, PLAIN_REGRESSION, K_BEST]
    scores = {name: np.full(len(encounters), np.nan) for name in names}
    fold_of = fold_numbers(encounters.patients, folds, seed)
    difference = 0.0
    for fold in range(folds):
        test = fold_of == fold
        train_frame, test_frame = encounters.frame[~test], encounters.frame[test]
        progress.say(f"fold {fold + 1}/{folds}: encoding and choice of features")
        prepared = pipelines.prepare(train_frame, test_frame, seed)
        for candidate in candidates:
            progress.say(f"fold {fold + 1}/{folds}: {candidate}")
            scores[candidate][test], off = pipelines.served(prepared, candidate, seed)
            difference = max(difference, off)
        progress.say(f"fold {fold + 1}/{folds}: comparisons")
        scores[ALL_FEATURES][test] = pipelines.all_features(prepared, seed)
        scores[PLAIN_REGRESSION][test] = pipelines.plain_logistic_regression(train_frame, test_frame, seed)
        scores[K_BEST][test] = pipelines.k_best_one_hots(train_frame, test_frame, seed)
    models = {
        name: Scored(encounters.labels, scored, encounters.patients, fold_of)
        for name, scored in scores.items()
    }
    return CrossValidation(models, difference)


def fold_numbers(patients: npt.NDArray[np.int64], folds: int, seed: int) -> npt.NDArray[np.int64]:
    """Return the fold [n] of each encounter; all encounters of a patient are in one fold."""
    numbers = np.empty(len(patients), dtype=np.int64)
    for fold, (_, test) in enumerate(
        GroupKFold(folds, shuffle=True, random_state=seed).split(patients, groups=patients)
    ):
        numbers[test] = fold
    return numbers


def temporal(
    encounters: Encounters, candidates: Sequence[str], seed: int, *, patients_apart: bool
) -> dict[str, HeldOut]:
    """Train candidates on the earlier encounters and score the last ones by `encounter_id`.

    `patients_apart` leaves the test's patients out of train, as everywhere in the product. Otherwise their
    earlier encounters stay, as they would in a hospital that trains on all it has.
    """
    test = np.arange(len(encounters)) >= round((1 - LAST_SHARE) * len(encounters))
    train = ~test
    if patients_apart:
        train &= ~np.isin(encounters.patients, encounters.patients[test])
    return _held_out(encounters, train, test, candidates, seed)


def product_split(encounters: Encounters, seed: int) -> HeldOut:
    """Train the headline candidate on the product's train split and score its test split."""
    train, test = encounters.splits == Split.TRAIN, encounters.splits == Split.TEST
    return _held_out(encounters, train, test, (HEADLINE,), seed)[HEADLINE]


def _held_out(
    encounters: Encounters, train: Rows, test: Rows, candidates: Sequence[str], seed: int
) -> dict[str, HeldOut]:
    prepared = pipelines.prepare(encounters.frame[train], encounters.frame[test], seed)
    one_fold = np.zeros(int(test.sum()), np.int64)
    found = {}
    for name in candidates:
        scores, _ = pipelines.served(prepared, name, seed)
        scored = Scored(encounters.labels[test], scores, encounters.patients[test], one_fold)
        found[name] = HeldOut(scored, int(train.sum()))
    return found


def candidates_by_default() -> tuple[str, ...]:
    """Return the product's candidates, the headline first."""
    return (HEADLINE, *(name for name in CANDIDATES if name != HEADLINE))
