"""The groups that a model is worse for, measured on test: its card must show these gaps."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from readmission_data.model_version.scoring import Scores
from readmission_data.training.bootstrap import Interval, intervals
from readmission_data.training.metrics import Array
from readmission_data.training.subgroups import SMALLEST

_YOUNG: Final = ("[0-10)", "[10-20)", "[20-30)")
_OLD: Final = ("[80-90)", "[90-100)")

GROUPS: Final[Mapping[str, tuple[str, tuple[str, ...] | None]]] = {
    "Under 30 years": ("age", _YOUNG),
    "30 to 79 years": ("age", tuple(f"[{low}-{low + 10})" for low in range(30, 80, 10))),
    "80 years and over": ("age", _OLD),
    "Race not recorded": ("race", None),
}
"""Name of each group, its column and its levels; None is a missing value."""


_UNKNOWN: Final = Interval(math.nan, math.nan, math.nan)


@dataclass(frozen=True, slots=True)
class GroupQuality:
    """The quality of the risk for one group; `recall` is the share of its positives above the threshold.

    A group of fewer encounters than `SMALLEST` is counted but not described: its other figures are NaN.
    """

    name: str
    encounters: int
    positives: float
    roc_auc: Interval
    recall: Interval


def measure(
    frame: pd.DataFrame,
    labels: Array,
    scores: Scores,
    patients: Array,
    *,
    threshold: float,
    samples: int,
    seed: int,
) -> list[GroupQuality]:
    """Return the quality for each of `GROUPS` among the rows [n] of `frame`.

    Groups without rows, and groups of `SMALLEST` rows or more with only one label, are omitted.
    """
    found = []
    for name, (column, levels) in GROUPS.items():
        mask = (frame[column].isna() if levels is None else frame[column].isin(levels)).to_numpy(dtype=bool)
        encounters = int(mask.sum())
        if 0 < encounters < SMALLEST:
            found.append(GroupQuality(name, encounters, math.nan, _UNKNOWN, _UNKNOWN))
            continue
        if np.unique(labels[mask]).size < 2:  # noqa: PLR2004 - both labels
            continue
        measured = intervals(
            labels[mask],
            scores[mask],
            threshold=threshold,
            samples=samples,
            seed=seed,
            clusters=patients[mask],
            names=("roc_auc", "recall"),
        )
        found.append(
            GroupQuality(
                name=name,
                encounters=encounters,
                positives=float(labels[mask].sum()),
                roc_auc=measured["roc_auc"],
                recall=measured["recall"],
            )
        )
    return found
