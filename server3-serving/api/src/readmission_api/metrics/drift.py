"""How far the latest patients differ from those of training."""

import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from itertools import chain, repeat
from typing import Any, Final

import numpy as np

from readmission_api.predictor.patients import Row
from readmission_api.predictor.predictor import Predictor
from readmission_api.predictor.schema import Distribution, Field, Icd9Groups
from readmission_api.scored import Scored

_SMALLEST_SHARE: Final = 1e-4
"""Replaces a share of zero, which has no logarithm."""

Shares = Callable[[Sequence[Any]], tuple[np.ndarray, np.ndarray]]
"""From a column's values to the shares in training and now, bin by bin."""


def stability_index(expected: np.ndarray, actual: np.ndarray) -> float:
    """Return the population stability index of two lists of shares over the same bins.

    Sum of (actual - expected) * ln(actual / expected); Siddiqi, "Credit Risk Scorecards", 2006: under 0.1
    little has changed, above 0.25 much has.
    """
    expected = np.maximum(expected, _SMALLEST_SHARE)
    actual = np.maximum(actual, _SMALLEST_SHARE)
    return float(((actual - expected) * np.log(actual / expected)).sum())


class DriftWindow:
    """The latest patients of the serving version, and their distance from its training data."""

    def __init__(self, size: int, minimum: int) -> None:
        self._minimum = minimum
        self._rows: deque[Row] = deque(maxlen=size)
        self._risks: deque[float] = deque(maxlen=size)
        self._predictor: Predictor | None = None
        self._fields: dict[str, tuple[int, Shares]] = {}
        self._scores: Shares | None = None
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Patients in the window."""
        return len(self._rows)

    def take_in(self, scored: Scored) -> None:
        """Add patients; the first ones of a new version start a new window."""
        with self._lock:
            if scored.predictor is not self._predictor:
                self._begin(scored.predictor)
            self._rows.extend(scored.rows)
            self._risks.extend(scored.risks)

    def measure(self) -> tuple[dict[str, float], float | None]:
        """Return the index of each field and of the risks, or nothing while there are too few patients."""
        with self._lock:
            rows, risks, fields, scores = list(self._rows), list(self._risks), self._fields, self._scores
        if len(rows) < self._minimum:
            return {}, None
        columns = list(zip(*rows, strict=True))
        indices = {name: stability_index(*shares(columns[place])) for name, (place, shares) in fields.items()}
        return indices, stability_index(*scores(risks)) if scores else None

    def _begin(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._rows.clear()
        self._risks.clear()
        groups = predictor.schema.icd9_groups
        found = (
            (field.name, place, _field_shares(field, groups))
            for place, field in enumerate(predictor.patients.fields)
        )
        self._fields = {name: (place, shares) for name, place, shares in found if shares}
        distribution = predictor.schema.scores.distribution
        self._scores = _binned(distribution) if distribution else None


def _field_shares(field: Field, groups: Icd9Groups) -> Shares | None:
    distribution = field.distribution
    if distribution is None:
        return None
    if field.kind == "integer":
        return _binned(distribution)
    if field.kind == "icd9":
        return _counted(distribution.groups, groups.group)
    return _counted(distribution.levels, None)


def _binned(distribution: Distribution) -> Shares | None:
    if not distribution.edges or not distribution.shares:
        return None
    edges, expected = np.array(distribution.edges), np.array(distribution.shares)

    def shares(values: Sequence[Any]) -> tuple[np.ndarray, np.ndarray]:
        # The contract's bins include their lower edge.
        places = np.searchsorted(edges, values, side="right")
        return expected, np.bincount(places, minlength=len(expected)) / len(values)

    return shares


def _counted(levels: Mapping[str, float] | None, group: Callable[[str], str] | None) -> Shares | None:
    if not levels:
        return None

    def shares(values: Sequence[Any]) -> tuple[np.ndarray, np.ndarray]:
        counts: Counter[str] = Counter()
        for value, count in Counter(values).items():
            counts[group(value) if group and value != "?" else value] += count
        names = list(dict.fromkeys(chain(levels, counts)))
        return (
            np.array(list(map(levels.get, names, repeat(0.0)))),
            np.array([counts[name] for name in names]) / len(values),
        )

    return shares
