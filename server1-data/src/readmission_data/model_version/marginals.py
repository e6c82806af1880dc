"""The distribution of each predictor in the train split, the reference for drift."""

from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from readmission_data.encounters.columns import MISSING
from readmission_data.model_version.contract import GroupShares, Histogram, LevelShares

_BINS: Final = 10


def text(values: pd.Series) -> pd.Series:
    """Return a column as written in the CSV, with `?` for missing values."""
    return values.astype(object).where(values.notna(), MISSING).astype(str)


def level_shares(values: pd.Series) -> LevelShares:
    """Return the share of each level of a category, missing values under `?`."""
    shares = text(values).value_counts(normalize=True, sort=True)
    return LevelShares(levels={str(level): float(share) for level, share in shares.items()})


def group_shares(codes: pd.Series, groups: dict[str, str]) -> GroupShares:
    """Return the share of each ICD-9 group, missing codes under `?`, codes without a group under `other`."""
    keys = text(codes).str.partition(".")[0]
    named = keys.map(groups).fillna("other").where(keys != MISSING, MISSING)
    shares = named.value_counts(normalize=True, sort=True)
    return GroupShares(groups={str(group): float(share) for group, share in shares.items()})


def histogram(values: npt.NDArray[np.floating] | npt.NDArray[np.integer]) -> Histogram:
    """Return the shares of `values` [n] between at most nine distinct deciles."""
    deciles = np.quantile(values, np.linspace(0, 1, _BINS + 1)[1:-1], method="higher")
    edges = np.unique(deciles)
    # An edge at the minimum would leave the first bin empty, and the stability index divides by a share.
    edges = edges[edges > values.min()]
    if not edges.size and values.max() > values.min():
        # More than nine tenths have the minimum: all others are one bin.
        edges = np.array([values[values > values.min()].min()])
    counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=edges.size + 1)
    return Histogram(edges=edges.tolist(), shares=(counts / counts.sum()).tolist())
