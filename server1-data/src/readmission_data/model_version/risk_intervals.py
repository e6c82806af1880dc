"""The uncertainty of one risk: how far the share of patients who return may lie from it.

The calibration curve, observed rate against risk, is fitted as a logistic regression on a linear spline of
the risk's log odds, once per bootstrap resample of patients (flexible calibration, Van Calster et al. 2016).
At each risk the interval is the middle 95 % of these curves, widened to contain the risk itself. ADR 27 says
what it means and what it does not.
"""

from typing import Final

import numpy as np
import pandas as pd
from scipy.special import expit, logit
from scipy.stats import binom
from sklearn.preprocessing import SplineTransformer

from readmission_data.model_version.contract import Coverage, RiskIntervals
from readmission_data.training.bootstrap import LEVEL, resample_weights
from readmission_data.training.metrics import Array
from readmission_data.training.subgroups import levels

SMALLEST_GROUP: Final = 500
"""Minimum encounters of a group for a meaningful coverage: 50 in each tenth of risk."""

_TENTHS: Final = 10
_BINS: Final = 200
_KNOTS: Final = 4
_POINTS: Final = 33
_PENALTY: Final = 0.01
_STEPS: Final = 50
_CLOSE: Final = 1e-6
_BEYOND: Final = (0.0001, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.9999)
"""Risks that the table covers even if no patient of validation has them."""


def fit(labels: Array, risks: Array, patients: Array, *, samples: int, seed: int) -> RiskIntervals:
    """Return the intervals for labels (0/1), risks and patients of shape [n], without any coverage.

    The rows must have chosen nothing: a model looks better calibrated on rows that it was chosen by.
    """
    edges = np.unique(np.quantile(risks, np.linspace(0, 1, _BINS + 1)))[1:-1]
    member = np.searchsorted(edges, risks, side="right")
    _, member, rows = np.unique(member, return_inverse=True, return_counts=True)
    bins = len(rows)
    odds = _odds(np.bincount(member, risks) / rows)[:, None]
    spline = SplineTransformer(_KNOTS, degree=1, knots="quantile", extrapolation="linear").fit(odds)
    features, bin_of = spline.transform(odds), np.eye(bins)[member]
    grid = _grid(risks)
    at = spline.transform(_odds(grid)[:, None])
    curves = []
    for weights in resample_weights(len(risks), patients, samples, seed):
        fitted = _regressions(features, weights @ bin_of, (weights * labels) @ bin_of)
        curves.append(expit(fitted @ at.T))
    low, high = np.quantile(np.concatenate(curves), [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return RiskIntervals(
        level=LEVEL,
        risk=grid.round(5).tolist(),
        low=np.minimum(low, grid).round(5).tolist(),
        high=np.maximum(high, grid).round(5).tolist(),
        coverage=[],
    )


def covered(intervals: RiskIntervals, labels: Array, risks: Array, groups: pd.DataFrame) -> RiskIntervals:
    """Return the intervals with their coverage on n other rows: all of them, then each group of `groups`.

    The encounters of a group are sorted by risk and cut into tenths. A tenth agrees if its number of returns
    is one that rates within its intervals would show in 95 of 100 draws.
    """
    low, high = (np.interp(risks, intervals.risk, end) for end in (intervals.low, intervals.high))
    masks = [("all", "all", np.ones(len(labels), dtype=bool)), *levels(groups)]
    coverage = []
    for column, level, mask in masks:
        encounters = int(mask.sum())
        if encounters < SMALLEST_GROUP and column != "all":
            continue
        tenths = np.array_split(np.flatnonzero(mask)[np.argsort(risks[mask], kind="stable")], _TENTHS)
        agreeing = sum(len(rows) for rows in tenths if _agrees(labels[rows], low[rows], high[rows]))
        coverage.append(
            Coverage(column=column, level=level, encounters=encounters, share=agreeing / encounters)
        )
    return intervals.model_copy(update={"coverage": coverage})


def _agrees(labels: Array, low: Array, high: Array) -> bool:
    """Return whether some rate between the ends would show so many returns: not too few, and not too many."""
    n, returns = len(labels), int(labels.sum())
    tail = (1 - LEVEL) / 2
    enough, not_more = binom.cdf(returns, n, low.mean()), binom.sf(returns - 1, n, high.mean())
    return bool(enough >= tail and not_more >= tail)


def _regressions(features: Array, rows: Array, positives: Array) -> Array:
    """Return the coefficients [s, k] of s logistic regressions on features [bins, k] by Newton's method.

    rows and positives [s, bins] are the counts of each resample. All are fitted at once: scikit-learn, which
    fits one at a time, would take seconds. The penalty keeps the curve finite if a resample has one label.
    """
    coefficients = np.zeros((len(rows), features.shape[1]))
    penalty = _PENALTY * np.eye(features.shape[1])
    for _ in range(_STEPS):
        rates = expit(coefficients @ features.T)
        slope = (positives - rows * rates) @ features - coefficients @ penalty
        curvature = np.einsum("sb,bk,bl->skl", rows * rates * (1 - rates), features, features, optimize=True)
        step = np.linalg.solve(curvature + penalty, slope[:, :, None])[:, :, 0]
        coefficients += step
        if np.abs(step).max() < _CLOSE:
            break
    return coefficients


def _grid(risks: Array) -> Array:
    inside = np.quantile(risks, np.linspace(0, 1, _POINTS))
    beyond = [risk for risk in _BEYOND if not inside[0] <= risk <= inside[-1]]
    grid: Array = np.unique(np.r_[inside, beyond].clip(_BEYOND[0], _BEYOND[-1]).round(5))
    return grid


def _odds(risks: Array) -> Array:
    odds: Array = logit(np.clip(risks, _BEYOND[0], _BEYOND[-1]))
    return odds
