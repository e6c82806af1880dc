"""Decides whether a new version may serve.

Three rules, all on the part of today's validation split that chose nothing, scored by the ONNX graphs
themselves:

1. It is better than production: the average precision is higher, and the 95 % interval of the difference
   (paired bootstrap that draws patients) lies above zero. If no production counts, it has to beat the base
   rate in the same way: a constant score's average precision is the share of positives.
2. Its calibration holds: the expected calibration error is at most `CALIBRATION_SLACK` above what a perfectly
   calibrated model with the same risks would show on so many rows in 95 of 100 draws.
3. No group loses: see `GroupChange`.

A version trained on synthetic data never replaces one trained on real data. One trained on real data does not
have to beat a synthetic one, which says nothing about patients.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pandas as pd

from readmission_data.model_version.scoring import Scores
from readmission_data.training.bootstrap import Interval, paired_bootstrap, paired_bootstraps
from readmission_data.training.metrics import Array, calibration_error
from readmission_data.training.subgroups import level_name, levels

CALIBRATION_SLACK: Final = 0.01
"""One percentage point: below what a clinician would act upon."""

SMALLEST_GROUP: Final = 500
"""Encounters that a group needs before the gate looks at it."""

GROUP_MARGIN: Final = 0.005
"""Log loss that a group may lose: a fifth of what a model gains over the base rate."""

LACE_MEASURES: Final = ("roc_auc", "average_precision")

_DRAWS: Final = 200
_QUANTILE: Final = 0.95


@dataclass(frozen=True, slots=True)
class Rows:
    """The n rows that judge: labels (0/1), patients and LACE points of shape [n]; groups [n, columns]."""

    labels: Array
    patients: Array
    groups: pd.DataFrame
    lace: Array


@dataclass(frozen=True, slots=True)
class Scored:
    """A version and its risk [n] for each row that judges."""

    version: str
    synthetic: bool
    scores: Scores


@dataclass(frozen=True, slots=True)
class GroupChange:
    """How much the log loss of one group rises if the new version replaces production.

    Log loss counts both a wrong order within the group and risks that are too high or too low for the whole
    group, and one margin fits groups of any rate. Below zero, the group gains.
    """

    column: str
    level: str
    encounters: int
    log_loss: Interval

    @property
    def loses(self) -> bool:
        """Whether it rises by more than `GROUP_MARGIN` with an interval above zero."""
        return self.log_loss.value > GROUP_MARGIN and self.log_loss.low > 0


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a version becomes production, why, in one line, and what was measured on the way.

    `over_lace` is the lead over the LACE index by measure; `groups` is empty unless production counts.
    """

    promoted: bool
    reason: str
    rows: int
    groups: tuple[GroupChange, ...] = ()
    over_lace: Mapping[str, Interval] = field(default_factory=dict)


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
    """Compare a new version with production on the same rows; `production` is None if there is none."""
    count = len(rows.labels)
    error, limit = calibration_error(rows.labels, new.scores), calibration_limit(new.scores, seed)
    # Written so that a NaN is refused.
    if not error <= limit:
        return Decision(
            promoted=False,
            reason=f"its calibration does not hold: error {error:.4f} on validation, limit {limit:.4f}",
            rows=count,
        )
    over_lace = paired_bootstraps(
        rows.labels, new.scores, rows.lace, LACE_MEASURES, samples, seed, rows.patients
    )
    if production and new.synthetic and not production.synthetic:
        return Decision(
            promoted=False,
            reason=f"trained on synthetic data, it never replaces version {production.version}, "
            "which was trained on real data",
            rows=count,
            over_lace=over_lace,
        )
    replaces_synthetic = production is not None and production.synthetic and not new.synthetic
    groups: tuple[GroupChange, ...] = ()
    if production is None or replaces_synthetic:
        rival, against = np.zeros(count), "the base rate"
    else:
        rival, against = production.scores, f"version {production.version}"
        groups = _changes(rows, new.scores, production.scores, samples, seed)
    difference = paired_bootstrap(
        rows.labels, new.scores, rival, samples=samples, seed=seed, clusters=rows.patients
    )
    better = difference.low > 0
    losing = [group for group in groups if group.loses]
    reason = f"{'beats' if better else 'does not beat'} {against}: {_spell(difference)}"
    if better and losing:
        reason += f", but {'; '.join(map(_lost, losing))} (margin {GROUP_MARGIN})"
    elif better:
        if replaces_synthetic:
            reason += "; production was trained on synthetic data"
        reason += f"; calibration holds (error {error:.4f}, limit {limit:.4f})"
    return Decision(
        promoted=better and not losing, reason=reason, rows=count, groups=groups, over_lace=over_lace
    )


def _changes(rows: Rows, new: Scores, old: Scores, samples: int, seed: int) -> tuple[GroupChange, ...]:
    found = []
    for column, level, mask in levels(rows.groups):
        encounters = int(mask.sum())
        if encounters < SMALLEST_GROUP:
            continue
        log_loss = paired_bootstrap(
            rows.labels[mask], new[mask], old[mask], "log_loss", samples, seed, rows.patients[mask]
        )
        found.append(GroupChange(column, level, encounters, log_loss))
    return tuple(found)


def _lost(group: GroupChange) -> str:
    return (
        f"{group.column} {level_name(group.level)} loses: log loss {group.log_loss.as_change()} "
        f"over {group.encounters:,} encounters"
    )


def _spell(difference: Interval) -> str:
    return (
        f"average precision on validation {difference.value:+.4f} "
        f"(95 % interval {difference.low:+.4f} to {difference.high:+.4f})"
    )
