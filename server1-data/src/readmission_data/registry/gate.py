"""Decides whether a new version may serve.

Two rules, both on today's validation split, scored by the ONNX graphs themselves:

1. It is better than production: the average precision is higher, and the 95 % interval of the difference
   (paired bootstrap that draws patients) lies above zero. Where there is no production that counts, it has to
   beat the base rate in the same way: a constant score's average precision is the share of positives.
2. Its calibration holds: the expected calibration error is at most `CALIBRATION_SLACK` above what a perfectly
   calibrated model with the same risks would show on so many rows in 95 of 100 draws.

A version trained on synthetic data never replaces one trained on real data. One trained on real data does not
have to beat a synthetic one, which says nothing about patients.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from readmission_data.model_version.scoring import Scores
from readmission_data.training.bootstrap import Interval, paired_bootstrap
from readmission_data.training.metrics import Array, calibration_error

CALIBRATION_SLACK: Final = 0.01
"""One percentage point: below what a clinician would act upon."""

_DRAWS: Final = 200
_QUANTILE: Final = 0.95


@dataclass(frozen=True, slots=True)
class Rows:
    """The validation split's cohort, n rows: labels (0/1) and patients, both of shape [n]."""

    labels: Array
    patients: Array


@dataclass(frozen=True, slots=True)
class Scored:
    """A version and its risk [n] for each row of the validation split."""

    version: str
    synthetic: bool
    scores: Scores


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a version becomes production, and why, in one line."""

    promoted: bool
    reason: str


def calibration_limit(scores: Scores, seed: int) -> float:
    """Return the calibration error above which a version's calibration does not hold.

    Outcomes are drawn from the scores themselves: a perfectly calibrated model shows an error too, the larger
    the fewer rows there are.
    """
    random = np.random.default_rng(seed)
    drawn = [
        calibration_error((random.random(len(scores)) < scores).astype(np.int8), scores)
        for _ in range(_DRAWS)
    ]
    return float(np.quantile(drawn, _QUANTILE)) + CALIBRATION_SLACK


def decide(rows: Rows, new: Scored, production: Scored | None, *, samples: int, seed: int) -> Decision:
    """Compare a new version with production on the same rows; `production` is None where there is none."""
    error, limit = calibration_error(rows.labels, new.scores), calibration_limit(new.scores, seed)
    # Written so that a NaN is refused.
    if not error <= limit:
        return Decision(
            promoted=False,
            reason=f"its calibration does not hold: error {error:.4f} on validation, limit {limit:.4f}",
        )
    if production and new.synthetic and not production.synthetic:
        return Decision(
            promoted=False,
            reason=f"trained on synthetic data, it never replaces version {production.version}, "
            "which was trained on real data",
        )
    replaces_synthetic = production is not None and production.synthetic and not new.synthetic
    if production is None or replaces_synthetic:
        rival, against = np.zeros(len(new.scores)), "the base rate"
    else:
        rival, against = production.scores, f"version {production.version}"
    difference = paired_bootstrap(
        rows.labels, new.scores, rival, samples=samples, seed=seed, clusters=rows.patients
    )
    better = difference.low > 0
    reason = f"{'beats' if better else 'does not beat'} {against}: {_spell(difference)}"
    if better and replaces_synthetic:
        reason += "; production was trained on synthetic data"
    if better:
        reason += f"; calibration holds (error {error:.4f}, limit {limit:.4f})"
    return Decision(promoted=better, reason=reason)


def _spell(difference: Interval) -> str:
    return (
        f"average precision on validation {difference.value:+.4f} "
        f"(95 % interval {difference.low:+.4f} to {difference.high:+.4f})"
    )
