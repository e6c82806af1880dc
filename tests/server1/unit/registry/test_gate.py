"""The gate's decision about better, equal, worse, synthetic and miscalibrated versions."""

import numpy as np
import pandas as pd
import pytest

from readmission_data.raw.split import judges
from readmission_data.registry import gate, gate_report
from readmission_data.registry.gate import Decision, Rows, Scored
from readmission_data.training.metrics import calibration_error, evaluate

N = 6_000
SMALL = gate.SMALLEST_GROUP - 1


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    """The true risk of each row, around 11 %, as in the data set."""
    return np.clip(np.random.default_rng(1).beta(1.5, 12, N), 0.001, 0.95)


@pytest.fixture(scope="module")
def rows(truth: np.ndarray) -> Rows:
    labels = (np.random.default_rng(2).random(N) < truth).astype(np.int8)
    groups = pd.DataFrame(
        {
            "race": np.where(np.arange(N) < SMALL, None, "Caucasian"),
            "gender": np.where(np.arange(N) % 2, "Female", "Male"),
            "age": np.where(np.arange(N) < N // 6, "[30-40)", "[70-80)"),
        }
    )
    return Rows(labels, np.arange(N) // 2, groups, np.round(truth * 8) + np.arange(N) % 4)


def blurred(truth: np.ndarray, share: float) -> np.ndarray:
    """Less knowledge, still calibrated: a share of the rows gets the mean risk."""
    hidden = np.random.default_rng(3).random(N) < share
    return np.where(hidden, truth.mean(), truth)


def decide(rows: Rows, new: np.ndarray, old: np.ndarray | None, **kinds: bool) -> Decision:
    production = None if old is None else Scored("7", kinds.get("old_synthetic", False), old)
    return gate.decide(
        rows, Scored("8", kinds.get("new_synthetic", False), new), production, samples=200, seed=5
    )


def test_better_is_promoted(rows: Rows, truth: np.ndarray) -> None:
    decision = decide(rows, truth, blurred(truth, 0.5))
    assert decision.promoted
    assert decision.reason.startswith("beats version 7: average precision on validation +0.")
    assert "calibration holds" in decision.reason


def test_worse_is_not(rows: Rows, truth: np.ndarray) -> None:
    decision = decide(rows, blurred(truth, 0.5), truth)
    assert not decision.promoted
    assert decision.reason.startswith("does not beat version 7: average precision on validation -0.")


def test_equal_is_not(rows: Rows, truth: np.ndarray) -> None:
    decision = decide(rows, truth, truth)
    assert not decision.promoted
    assert "+0.0000 (95 % interval +0.0000 to +0.0000)" in decision.reason


def test_a_difference_within_the_noise_is_not(rows: Rows, truth: np.ndarray) -> None:
    """Slightly higher on these rows, but not on most resamples of their patients."""
    wobble = np.random.default_rng(11).normal(0, 0.004, N)
    other = np.clip(truth + wobble, 0.001, 0.99)
    both = decide(rows, truth, other), decide(rows, other, truth)
    assert not any(decision.promoted for decision in both)
    assert sum("validation +" in decision.reason for decision in both) == 1


def test_the_first_has_to_beat_the_base_rate(rows: Rows, truth: np.ndarray) -> None:
    decision = decide(rows, truth, None)
    assert decision.promoted
    assert decision.reason.startswith("beats the base rate")


def test_noise_does_not_beat_the_base_rate(rows: Rows) -> None:
    noise = np.random.default_rng(4).normal(rows.labels.mean(), 0.001, N)
    decision = decide(rows, noise, None)
    assert not decision.promoted
    assert decision.reason.startswith("does not beat the base rate")


@pytest.mark.parametrize("old", [None, "worse"])
def test_miscalibrated_is_not_promoted(rows: Rows, truth: np.ndarray, old: str | None) -> None:
    """The same order of patients, with risks as a balanced class weight would give them."""
    balanced = truth * 8 / (truth * 8 + 1 - truth)
    decision = decide(rows, balanced, blurred(truth, 0.5) if old else None)
    assert not decision.promoted
    assert decision.reason.startswith("its calibration does not hold: error 0.3")


def test_synthetic_never_replaces_real(rows: Rows, truth: np.ndarray) -> None:
    decision = decide(rows, truth, blurred(truth, 0.9), new_synthetic=True)
    assert not decision.promoted
    assert "synthetic" in decision.reason


def test_real_replaces_a_better_synthetic(rows: Rows, truth: np.ndarray) -> None:
    decision = decide(rows, blurred(truth, 0.5), truth, old_synthetic=True)
    assert decision.promoted
    assert decision.reason.startswith("beats the base rate")
    assert "production was trained on synthetic data" in decision.reason


def test_synthetic_has_to_beat_synthetic(rows: Rows, truth: np.ndarray) -> None:
    kinds = {"new_synthetic": True, "old_synthetic": True}
    assert decide(rows, truth, blurred(truth, 0.5), **kinds).promoted
    assert not decide(rows, blurred(truth, 0.5), truth, **kinds).promoted


def test_the_first_synthetic_serves(rows: Rows, truth: np.ndarray) -> None:
    assert decide(rows, truth, None, new_synthetic=True).promoted


def test_nan_is_not_promoted(rows: Rows) -> None:
    assert not decide(rows, np.full(N, np.nan), None).promoted


def test_a_perfectly_calibrated_model_stays_within_the_limit(truth: np.ndarray) -> None:
    limit = gate.calibration_limit(truth, 0)
    errors = [
        calibration_error((np.random.default_rng(seed).random(N) < truth).astype(np.int8), truth)
        for seed in range(50)
    ]
    assert max(errors) < limit < 0.05


def test_the_limit_is_wider_for_fewer_rows(truth: np.ndarray) -> None:
    assert gate.calibration_limit(truth[:300], 0) > gate.calibration_limit(truth, 0) + 0.01


def without(truth: np.ndarray, group: np.ndarray) -> np.ndarray:
    """The truth for all but one group, whose risks are all too low by the same odds."""
    low = truth * 0.35 / (truth * 0.35 + 1 - truth)
    return np.where(group, low, truth)


def test_better_for_all_and_worse_for_a_group_is_not_promoted(rows: Rows, truth: np.ndarray) -> None:
    young = (rows.groups["age"] == "[30-40)").to_numpy()
    decision = decide(rows, without(truth, young), np.where(young, truth, blurred(truth, 0.5)))
    assert not decision.promoted
    assert decision.reason.startswith("beats version 7: average precision on validation +0.")
    assert ", but age [30-40) loses: log loss +0." in decision.reason
    assert "over 1,000 encounters (margin 0.005)" in decision.reason
    assert [group.level for group in decision.groups if group.loses] == ["[30-40)"]
    # The risks of a group that are too low keep their order, which ROC AUC alone looks at.
    same = evaluate(rows.labels[young], truth[young], 0.5)["roc_auc"]
    assert evaluate(rows.labels[young], without(truth, young)[young], 0.5)["roc_auc"] == same


def test_a_small_group_decides_nothing(rows: Rows, truth: np.ndarray) -> None:
    small = rows.groups["race"].isna().to_numpy()
    decision = decide(rows, without(truth, small), np.where(small, truth, blurred(truth, 0.5)))
    assert decision.promoted
    assert {group.level for group in decision.groups} == {"Caucasian", "Female", "Male", "[30-40)", "[70-80)"}


def test_the_report_shows_groups_and_lace(rows: Rows, truth: np.ndarray) -> None:
    decision = decide(rows, truth, blurred(truth, 0.5))
    report = gate_report.write("8", "7", decision)
    assert report.startswith("# Version 8 serves\n")
    assert "Compared with version 7, on\n6,000 encounters" in report
    for name, lead in decision.over_lace.items():
        assert lead.low > 0, name
    assert "| Average precision | +0." in report
    assert "| age | [30-40) | 1,000 | -0." in report
    assert "nan" not in report
    assert "none served" in gate_report.write("1", None, decide(rows, truth, None))


def rivals(truth: np.ndarray, number: int, seed: int) -> list[np.ndarray]:
    """Equally good fits: the truth, each with a separate error."""
    random = np.random.default_rng(seed)
    odds = np.log(truth / (1 - truth))
    return [1 / (1 + np.exp(-odds - random.normal(0, 0.5, N))) for _ in range(number)]


def part(rows: Rows, mask: np.ndarray) -> Rows:
    return Rows(
        rows.labels[mask],
        rows.patients[mask],
        rows.groups[mask].reset_index(drop=True),
        rows.lace[mask],
    )


@pytest.mark.parametrize("seed", [7, 8, 11])
def test_the_best_of_sixteen_equal_fits_is_not_promoted(rows: Rows, truth: np.ndarray, seed: int) -> None:
    judging = np.isin(rows.patients, np.unique(rows.patients)[::2])
    serving, *fits = rivals(truth, 17, seed)
    best = max(fits, key=lambda fit: evaluate(rows.labels[~judging], fit[~judging], 0.5)["average_precision"])
    # On the rows that chose it, luck would promote it.
    assert decide(part(rows, ~judging), best[~judging], serving[~judging]).promoted
    assert not decide(part(rows, judging), best[judging], serving[judging]).promoted


def test_none_of_three_equal_rivals_is_promoted(rows: Rows, truth: np.ndarray) -> None:
    serving, *equal = rivals(truth, 4, 99)
    assert not [fit for fit in equal if decide(rows, fit, serving).promoted]


def test_a_patient_chooses_or_judges_and_never_both() -> None:
    patients = np.arange(20_000)
    judging = judges(patients, "salt")
    assert np.array_equal(judges(patients[::-1], "salt")[::-1], judging)
    assert not np.array_equal(judges(patients, "other"), judging)
