"""How much each field moved one patient's risk away from the reference patient's.

Shapley values by permutation sampling (Castro et al., "Polynomial calculation of the Shapley value based on
sampling", 2009): walk from the reference to the patient field by field in random orders and average each
field's step. Every order is paired with its reverse, which halves the noise for the same work (Mitchell et
al., "Sampling Permutations for Shapley Value Estimation", 2022). The steps of one walk add up to the whole
difference, so the contributions add up exactly to the difference of the two risks, whatever the sample.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from readmission_api.predictor.patients import Row
from readmission_api.predictor.predictor import Predictor

_ROWS_AT_ONCE: Final = 2_048


@dataclass(frozen=True)
class Contribution:
    """The contribution of one field to the risk; `standard_error` is that of the sampling."""

    field: str
    contribution: float
    standard_error: float
    value_is_reference: bool


@dataclass(frozen=True)
class Explanation:
    """A patient's risk, the reference patient's risk and the contributions, largest first."""

    probability: float
    reference_probability: float
    contributions: tuple[Contribution, ...]


def explain(predictor: Predictor, row: Row, *, samples: int, seed: int) -> Explanation:
    """Estimate the contributions from `samples` orders (even: half of them are reverses of the others)."""
    patients = predictor.patients
    used = patients.numeric_count + patients.categorical_count
    reference = patients.reference
    players = [index for index in range(used) if row[index] != reference[index]]
    ends = predictor.score([reference, row])
    if not players:
        return Explanation(
            ends[1],
            ends[0],
            tuple(Contribution(name, 0.0, 0.0, value_is_reference=True) for name in patients.names),
        )
    rng = np.random.default_rng(seed)
    half = [rng.permutation(len(players)) for _ in range(samples // 2)]
    orders = np.array([order for one in half for order in (one, one[::-1])])
    walks = _walk_rows(row, reference, players, orders)
    # The ends of all walks are the same two rows, scored once.
    inner = (
        np.concatenate(
            [
                predictor.score(walks[start : start + _ROWS_AT_ONCE])
                for start in range(0, len(walks), _ROWS_AT_ONCE)
            ]
        ).reshape(len(orders), len(players) - 1)
        if walks
        else np.empty((len(orders), 0))
    )
    heights = np.hstack([np.full((len(orders), 1), ends[0]), inner, np.full((len(orders), 1), ends[1])])
    steps = np.empty((len(orders), len(players)))
    np.put_along_axis(steps, orders, np.diff(heights, axis=1), axis=1)
    pairs = steps.reshape(-1, 2, len(players)).mean(axis=1)
    means = pairs.mean(axis=0)
    errors = pairs.std(axis=0, ddof=1) / np.sqrt(len(pairs)) if len(pairs) > 1 else np.zeros(len(players))
    found = {
        patients.names[player]: (float(mean), float(error))
        for player, mean, error in zip(players, means, errors, strict=True)
    }
    contributions = [
        Contribution(name, *found.get(name, (0.0, 0.0)), row[index] == reference[index])
        for index, name in enumerate(patients.names)
    ]
    contributions.sort(key=lambda one: -abs(one.contribution))
    return Explanation(ends[1], ends[0], tuple(contributions))


def _walk_rows(row: Row, reference: Row, players: list[int], orders: np.ndarray) -> list[Row]:
    rows: list[Row] = []
    for order in orders:
        values = list(reference)
        for player in order[:-1]:
            index = players[player]
            values[index] = row[index]
            rows.append(tuple(values))
    return rows
