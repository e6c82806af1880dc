"""What an interval of one risk promises: where the true rate is, and how often test patients agree."""

import numpy as np
import pandas as pd
import pytest

from readmission_data.model_version import risk_intervals
from readmission_data.model_version.contract import RiskIntervals

N = 6_000


def risks(seed: int, rows: int = N) -> np.ndarray:
    return np.clip(np.random.default_rng(seed).beta(1.5, 12, rows), 0.001, 0.95)


def draw(rates: np.ndarray, seed: int) -> np.ndarray:
    return (np.random.default_rng(seed).random(len(rates)) < rates).astype(np.int8)


def fit(labels: np.ndarray, given: np.ndarray, samples: int = 200) -> RiskIntervals:
    return risk_intervals.fit(labels, given, np.arange(len(labels)) // 2, samples=samples, seed=1)


def raised(rates: np.ndarray, odds: float) -> np.ndarray:
    return rates * odds / (rates * odds + 1 - rates)


@pytest.mark.parametrize("odds", [1.0, 1.6])
def test_the_true_rate_lies_in_nineteen_of_twenty_intervals(odds: float) -> None:
    """Of a calibrated model, and of one whose risks are all too low."""
    at = np.array([0.03, 0.08, 0.15, 0.25])
    inside = []
    for seed in range(40):
        given = risks(seed)
        found = fit(draw(raised(given, odds), 1_000 + seed), given, samples=100)
        low, high = (np.interp(at, found.risk, end) for end in (found.low, found.high))
        inside.append((low <= raised(at, odds)) & (raised(at, odds) <= high))
    assert 0.88 <= np.mean(inside) <= 0.995
    assert np.min(np.mean(inside, axis=0)) >= 0.8


def test_more_patients_give_narrower_intervals_that_contain_the_risk() -> None:
    widths = []
    for rows in (1_000, 16_000):
        given = risks(5, rows)
        found = fit(draw(given, 6), given)
        assert all(
            low <= risk <= high for risk, low, high in zip(found.risk, found.low, found.high, strict=True)
        )
        assert (found.risk[0], found.risk[-1]) == (0.0001, 0.9999)
        widths.append(np.interp(0.15, found.risk, np.subtract(found.high, found.low)))
    assert widths[1] < widths[0] / 2.5


def test_a_sample_without_returns_in_some_resample_has_intervals() -> None:
    given = risks(7, 60)
    labels = np.zeros(60, np.int8)
    labels[:2] = 1
    found = fit(labels, given)
    assert np.isfinite([*found.low, *found.high]).all()


def test_coverage_finds_the_group_that_the_intervals_are_wrong_for() -> None:
    given = risks(8, 12_000)
    groups = pd.DataFrame(
        {
            "gender": np.where(np.arange(12_000) % 3, "Female", "Male"),
            "race": np.where(np.arange(12_000) < 400, "Other", None),
        }
    )
    male = (groups["gender"] == "Male").to_numpy()
    found = fit(draw(given, 9), given)
    rates = np.where(male, raised(given, 2.0), given)
    covered = risk_intervals.covered(found, draw(rates, 10), given, groups)
    shares = {group.level: group.share for group in covered.coverage}
    assert list(shares) == ["all", "Female", "Male", "?"]
    assert shares["Female"] >= 0.9
    assert shares["Male"] <= 0.5
    assert covered.risk == found.risk


@pytest.mark.parametrize(
    ("width", "least", "most"),
    # Of true rates without any interval, one tenth in twenty disagrees by chance.
    [(0.0, 0.85, 1.0), (1.0, 1.0, 1.0)],
)
def test_coverage_of_true_rates(width: float, least: float, most: float) -> None:
    grid = np.linspace(0, 1, 101)
    found = RiskIntervals(
        level=0.95,
        risk=grid.tolist(),
        low=(grid * (1 - width)).tolist(),
        high=(grid + width * (1 - grid)).tolist(),
        coverage=[],
    )
    shares = []
    for seed in range(20):
        rates = risks(seed, 2_000)
        checked = risk_intervals.covered(found, draw(rates, seed), rates, pd.DataFrame(index=range(2_000)))
        shares.append(checked.coverage[0].share)
    assert least <= np.mean(shares) <= most


def test_returns_outside_the_intervals_disagree() -> None:
    rates = risks(3, 4_000)
    found = RiskIntervals(level=0.95, risk=[0.0, 1.0], low=[0.0, 0.9], high=[0.1, 1.0], coverage=[])
    for labels in (np.zeros(4_000, np.int8), np.ones(4_000, np.int8)):
        checked = risk_intervals.covered(found, labels, rates, pd.DataFrame(index=range(4_000)))
        assert checked.coverage[0].share <= 0.2
