"""What a reader of the card finds, and what it says of groups."""

import dataclasses
import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from readmission_data.clean import icd9
from readmission_data.errors import RegistryError
from readmission_data.model_version import groups_at_risk, input_schema, model_card, quality_report
from readmission_data.model_version.against_lace import AgainstLace
from readmission_data.model_version.contract import (
    Coverage,
    Dataset,
    InputSchema,
    Interval,
    RiskIntervals,
)
from readmission_data.model_version.groups_at_risk import GroupQuality
from readmission_data.training import bootstrap
from readmission_data.training.benefit import Workload
from readmission_data.training.candidates import CANDIDATES
from readmission_data.training.lineage import Lineage
from readmission_data.training.subgroups import SMALLEST

from .conftest import Sample

SHA = "ab" * 32


def schema(sample: Sample, kind: str) -> InputSchema:
    return input_schema.build(
        sample.train,
        icd9.GROUP_OF_STEM,
        input_schema.Described(
            candidate="lightgbm",
            created=datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
            dataset=Dataset.model_validate(
                {
                    "kind": kind,
                    "sha256": SHA,
                    "synthetic": kind == "synthetic",
                    "train_rows": 12_345,
                    "batches": [1, 2],
                }
            ),
            numeric=sample.encoding.numeric,
            categorical=sample.encoding.categorical,
            threshold=0.2,
            validation_risk=np.linspace(0, 0.5, 200),
            examples_risk=np.array([0.1, 0.2, 0.3]),
            metrics={
                "test": {
                    "roc_auc": Interval(value=0.681, low=0.67, high=0.692),
                    "average_precision": Interval(value=0.25, low=0.23, high=0.27),
                    "precision": Interval(value=0.28),
                    "recall": Interval(value=0.24),
                    "baseline_weighted_f1": Interval(value=0.834),
                },
                "validation": {"roc_auc": Interval(value=0.679)},
            },
            intervals=RiskIntervals(
                level=0.95,
                risk=[0.0, 0.2, 1.0],
                low=[0.0, 0.18, 1.0],
                high=[0.0, 0.23, 1.0],
                coverage=[
                    Coverage(column="all", level="all", encounters=14_781, share=1.0),
                    Coverage(column="race", level="?", encounters=700, share=0.9),
                ],
            ),
        ),
    )


LINEAGE = Lineage(
    dataset="uci",
    dataset_sha256=SHA,
    batches=(1, 2),
    cohort_version="1",
    split_version="1",
    split_salt_sha256="0",
    processed_sha256="0",
    code_sha256="0",
    git_commit="c0ffee",
    versions={},
)


def subgroup(column: str, level: str, encounters: int, roc_auc: float) -> dict[str, object]:
    known = encounters >= 10
    return {
        "column": column,
        "level": level,
        "encounters": encounters,
        **{
            name: value if known else np.nan
            for name, value in {
                "positives": 5.0,
                "observed_rate": 0.1,
                "mean_risk": 0.11,
                "flagged": 0.05,
                "roc_auc": roc_auc,
                "roc_auc_low": roc_auc - 0.1,
                "roc_auc_high": roc_auc + 0.1,
                "average_precision": 0.2,
                "recall": 0.25,
                "precision": 0.3,
                "calibration_error": 0.02,
            }.items()
        },
    }


def evidence(young: float = 0.8, old: float = 0.62, report: object = None) -> model_card.Evidence:
    def group(name: str, auc: float) -> GroupQuality:
        return GroupQuality(
            name,
            400,
            40,
            bootstrap.Interval(auc, auc - 0.05, auc + 0.05),
            bootstrap.Interval(0.2, 0.1, 0.3),
        )

    return model_card.Evidence(
        lineage=LINEAGE,
        subgroups=pd.DataFrame(
            [
                subgroup("all", "all", 1_000, 0.68),
                subgroup("race", "?", 300, 0.6),
                subgroup("age", "[0-10)", 4, 0.5),
            ]
        ),
        gaps=[group("Under 30 years", young), group("80 years and over", old)],
        against_lace=AgainstLace(
            lace={
                "roc_auc": bootstrap.Interval(0.58, 0.57, 0.59),
                "average_precision": bootstrap.Interval(0.15, 0.14, 0.16),
            },
            lead={
                "roc_auc": bootstrap.Interval(0.101, 0.09, 0.11),
                "average_precision": bootstrap.Interval(0.1, 0.08, 0.12),
            },
            workload={"This model": [Workload(0.1, 0.288, 0.253)], "LACE index": [Workload(0.1, 0.17, 0.15)]},
            benefit={"This model": [0.0712, 0.03, 0.01, 0.005, 0.002, 0.001]},
        ),
        positive_rate=0.113,
        parity=9.5e-8,
        parity_rows=31_000,
        quality=report,  # type: ignore[arg-type]
    )


def test_a_reader_finds_what_it_is_and_how_good(sample: Sample) -> None:
    card = model_card.write(schema(sample, "uci"), evidence())
    assert card.startswith("# best_diabetes_readmission_model: lightgbm\n")
    for sentence in (
        "| ROC AUC | 0.681 (0.670 to 0.692) | 0.679 |",
        "an accuracy of 0.887 and a weighted F1 of 0.834",
        "Drawing lots has an\naverage precision of 0.113",
        f"| SHA-256 | `{SHA}` |",
        "| Train encounters | 12,345 of batches 1, 2 |",
        "commit `c0ffee`",
        "A risk of 0.2000 or more is flagged: 60.0% of the validation split.",
        "28% came back within 30 days",
        "To decide about treatment",
        "differs from the\nscikit-learn pipeline by at most 9.5e-08",
        "| Average precision | 0.150 (0.140 to 0.160) | 0.100 (0.080 to 0.120) |",
        "- This model: Flag 10%: 29 of 100 flagged patients return; 25 of 100 who return are flagged.",
        "| This model | +7.12 | +3.00 | +1.00 | +0.50 | +0.20 | +0.10 |",
        "| 10% | 9.0% to 11.5% |",
        "| race | not recorded | 700 | 90% |",
    ):
        assert sentence in card
    assert "SYNTHETIC" not in card
    assert "nan" not in card


@pytest.mark.parametrize(
    ("young", "old", "sentence"),
    [
        (0.8, 0.62, "patients of 80 and over are ordered worse than those under 30"),
        (0.6, 0.7, "patients under 30 are ordered worse than those of 80 and over"),
    ],
)
def test_the_gap_by_age_is_named(sample: Sample, young: float, old: float, sentence: str) -> None:
    card = model_card.write(schema(sample, "uci"), evidence(young, old))
    assert sentence in card
    assert f"| 80 years and over | 400 | 10.0% | {old:.3f} " in card


def test_groups_too_small_to_measure_are_named(sample: Sample) -> None:
    card = model_card.write(schema(sample, "uci"), evidence())
    assert (
        "| race | not recorded | 300 | 10.0% | 11.0% | 5.0% | 0.600 (0.500 to 0.700) | 0.250 | 0.300 |"
        in card
    )
    small = next(line for line in card.splitlines() if "[0-10)" in line)
    assert small.startswith("| age | [0-10) | 4 |  |  |  | not measurable |")


def test_a_synthetic_model_says_so_first(sample: Sample) -> None:
    lines = model_card.write(schema(sample, "synthetic"), evidence()).splitlines()
    assert lines[2] == "> # SYNTHETIC DATA"
    assert "must never be used for one" in lines[4]


def figures(value: float) -> dict[str, dict[str, float]]:
    return {
        "roc_auc": {"value": value, "low": value - 0.015, "high": value + 0.015},
        "average_precision": {"value": value - 0.48},
    }


def test_a_card_quotes_its_own_candidate_or_nobody(sample: Sample, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(
        json.dumps(
            {
                "dataset_sha256": SHA,
                "candidates": {
                    "lightgbm": {
                        "cross_validation": figures(0.685) | {"folds": 5},
                        "temporal": figures(0.655) | {"train_rows": 80_000, "test_rows": 15_000},
                        "partitions": {
                            "number": 10,
                            "roc_auc": {"mean": 0.6841, "deviation": 0.0052},
                            "average_precision": {"mean": 0.2471, "deviation": 0.0061},
                            "calibration_error": {"mean": 0.0042, "deviation": 0.0011},
                        },
                    },
                    "random_forest": {"cross_validation": figures(0.671)},
                },
            }
        )
    )

    def card(champion: str) -> str:
        described = schema(sample, "uci").model_copy(update={"candidate": champion})
        return model_card.write(described, evidence(report=quality_report.read(path, SHA, champion)))

    first = card("lightgbm")
    assert "Figures of `lightgbm`" in first
    assert "| Cross-validation, folds by patient | 0.685 (0.670 to 0.700) | 0.205 |  |" in first
    assert "| Later encounters | 0.655 (0.640 to 0.670) | 0.175 |  |" in first
    assert (
        "| 10 partitions by patient, mean and deviation | 0.684 ± 0.005 | 0.247 ± 0.006 | 0.004 ± 0.001 |"
        in first
    )
    assert "trained on the 80,000 earlier encounters and tested on the last\n15,000" in first
    assert "chose nothing" in first
    # Another champion: its own cross-validation, and no temporal test, which was not made for it.
    second = card("random_forest")
    assert "Figures of `random_forest`" in second
    assert "| Cross-validation, folds by patient | 0.671 (0.656 to 0.686) | 0.191 |  |" in second
    assert not [figure for figure in ("0.685", "0.655", "Later encounters", "partitions") if figure in second]
    # One that nobody measured.
    third = card("hist_gradient_boosting")
    assert not [text for text in ("Beyond this split", "0.685", "0.671", "0.655") if text in third]
    # Figures of another data set say nothing about this one.
    assert quality_report.read(path, "0" * 64, "lightgbm") is None


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"dataset_sha256": 3}', '{"dataset_sha256": "ab"}'])
def test_a_report_that_cannot_be_read_is_an_error(tmp_path: Path, content: str) -> None:
    path = tmp_path / "report.json"
    path.write_text(content)
    with pytest.raises(RegistryError, match=r"report\.json cannot be read"):
        quality_report.read(path, SHA, "lightgbm")
    with pytest.raises(RegistryError, match=r"none\.json cannot be read"):
        quality_report.read(tmp_path / "none.json", SHA, "lightgbm")


def test_the_packaged_report_covers_every_candidate() -> None:
    known = json.loads(quality_report.PACKAGED.read_text())["dataset_sha256"]
    for candidate in CANDIDATES:
        found = quality_report.read(None, known, candidate)
        assert found is not None
        assert found.cross_validation is not None


def test_groups_are_measured_on_their_own_rows(sample: Sample) -> None:
    frame = sample.test
    random = np.random.default_rng(0)
    labels = (random.random(len(frame)) < 0.3).astype(np.int8)
    # A score that knows all about the old and nothing about the others.
    old = frame["age"].isin(["[80-90)", "[90-100)"]).to_numpy()
    scores = np.where(old, labels * 0.5 + 0.1, random.random(len(frame)))
    found = {
        group.name: group
        for group in groups_at_risk.measure(
            frame,
            labels,
            scores,
            frame["patient_nbr"].to_numpy(),
            threshold=0.5,
            samples=100,
            seed=1,
        )
    }
    assert found["80 years and over"].roc_auc.value == 1
    assert found["80 years and over"].recall.value == 1
    assert found["80 years and over"].encounters == old.sum()
    assert 0.3 < found["30 to 79 years"].roc_auc.value < 0.7
    assert found["Race not recorded"].encounters == frame["race"].isna().sum()


def test_a_group_too_small_to_measure_is_counted_but_not_described(sample: Sample) -> None:
    young = SMALLEST - 1
    rows = young + 40
    frame = pd.DataFrame({"age": ["[20-30)"] * young + ["[80-90)"] * 40, "race": "Caucasian"})
    labels = np.arange(rows, dtype=np.int8) % 2
    gaps = groups_at_risk.measure(
        frame,
        labels,
        np.linspace(0.1, 0.9, rows),
        np.arange(rows),
        threshold=0.5,
        samples=20,
        seed=1,
    )
    card = model_card.write(schema(sample, "own"), dataclasses.replace(evidence(), gaps=gaps))
    assert "| Under 30 years | 9 |  | not measurable | not measurable |" in card
    assert "| 80 years and over | 40 | 50.0% | 0." in card
    assert "A group of fewer than 10 encounters is counted but not described" in card
    # No gap is named between a group that is described and one that is not.
    assert "ordered worse" not in card
    assert "nan" not in card
