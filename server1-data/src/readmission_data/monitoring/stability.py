"""How far patients differ from those that a version was trained on, field by field."""

from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from readmission_data.errors import MonitoringError
from readmission_data.model_version import marginals
from readmission_data.model_version.contract import (
    AnyField,
    CategoryField,
    Histogram,
    Icd9Groups,
    InputSchema,
    IntegerField,
)

MODERATE: Final = 0.10
LARGE: Final = 0.25
"""Limits of a slight and of a large change of a population (Siddiqi, "Credit Risk Scorecards", 2006)."""

_SMALLEST_SHARE: Final = 1e-4
"""Replaces a share of zero, which has no logarithm."""


def stability_index(shares: pd.DataFrame) -> float:
    """Return the population stability index of two columns of shares, `expected` and `actual`.

    Sum of (actual - expected) * ln(actual / expected) over the bins; server 3 reports the same figure.
    """
    floored = shares.clip(lower=_SMALLEST_SHARE)
    change = floored["actual"] - floored["expected"]
    return float((change * np.log(floored["actual"] / floored["expected"])).sum())


def by_field(schema: InputSchema, inputs: pd.DataFrame) -> pd.Series:
    """Return the index of every field of the schema over the patients of `inputs` [n, fields].

    The largest comes first. Raise `MonitoringError` if a field is not among the inputs.
    """
    absent = [field.name for field in schema.fields if field.name not in inputs]
    if absent:
        raise MonitoringError(f"the logged inputs lack {', '.join(absent)}")
    found = {
        field.name: stability_index(field_shares(field, inputs[field.name], schema.icd9_groups))
        for field in schema.fields
    }
    return pd.Series(found, name="index").sort_values(ascending=False)


def field_shares(field: AnyField, values: pd.Series, groups: Icd9Groups) -> pd.DataFrame:
    """Return `expected` (the train split) and `actual` (the values) for each bin of a field.

    A bin is a level, a group of diagnoses, or a range of whole numbers; each column adds up to 1.
    """
    if isinstance(field, IntegerField):
        return histogram_shares(field.distribution, values.to_numpy(dtype=np.float64))
    if isinstance(field, CategoryField):
        expected, actual = field.distribution.levels, marginals.level_shares(values).levels
    else:
        expected, actual = field.distribution.groups, marginals.group_shares(values, groups.codes).groups
    return pd.DataFrame({"expected": expected, "actual": actual}).fillna(0.0)


def histogram_shares(histogram: Histogram, values: npt.NDArray[np.float64]) -> pd.DataFrame:
    """Return `expected` and `actual` for each bin of a histogram; a bin includes its lower edge."""
    places = np.searchsorted(histogram.edges, values, side="right")
    counts = np.bincount(places, minlength=len(histogram.shares))
    edges = [f"{edge:g}" for edge in histogram.edges]
    if not edges:
        bins = ["all"]
    else:
        inner = [f"{low} to under {high}" for low, high in pairwise(edges)]
        bins = [f"under {edges[0]}", *inner, f"{edges[-1]} and over"]
    return pd.DataFrame({"expected": histogram.shares, "actual": counts / len(values)}, index=bins)
