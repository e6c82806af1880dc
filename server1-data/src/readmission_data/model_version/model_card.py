"""Write `model_card.md`: a model's purpose, its quality, the groups it is worse for, and what it is not for.

The order of the parts follows Mitchell et al., "Model Cards for Model Reporting", 2019.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from readmission_data.model_version.against_lace import AgainstLace
from readmission_data.model_version.contract import InputSchema, Interval, RiskIntervals
from readmission_data.model_version.groups_at_risk import GroupQuality
from readmission_data.model_version.quality_report import CandidateFigures
from readmission_data.training import bootstrap
from readmission_data.training.benefit import THRESHOLDS
from readmission_data.training.lineage import Lineage
from readmission_data.training.subgroups import SMALLEST, level_name

_SYNTHETIC_BANNER = """> # SYNTHETIC DATA
> This model was trained on encounters that a program made up. It shows that the system works, and says
> **nothing about real patients**. It must never be used for one.
"""

_MEASURES = {
    "roc_auc": "ROC AUC",
    "average_precision": "Average precision",
    "log_loss": "Log loss",
    "brier": "Brier score",
    "calibration_error": "Calibration error",
    "recall_top10": "Recall, top 10 % of risk",
    "precision_top10": "Precision, top 10 % of risk",
    "recall": "Recall at the threshold",
    "precision": "Precision at the threshold",
    "f1": "F1 at the threshold",
    "weighted_f1": "Weighted F1 at the threshold",
    "accuracy": "Accuracy at the threshold",
}

_SHOWN_RISKS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4)

_DATASETS = {
    "uci": "UCI Diabetes 130-US hospitals for years 1999-2008",
    "own": "your own data set",
    "synthetic": "a synthetic sample",
}

_LIMITS = """## What it must not be used for
- To decide about treatment, discharge or cover. It orders patients for a closer look by a person, no more.
- For patients who died or go to a hospice: they are not in the cohort, and serving refuses them.
- For patients without diabetes, for children, or outside hospital wards: the data holds none or few of them.
- In another country, or today, without measuring it there first. The public data set is from 130 hospitals in
  the United States, 1999 to 2008; codes, drugs and the rules of discharge have changed since.
- To compare hospitals or physicians, or to set prices: risk reflects who is admitted, and what is recorded.
- To learn why a patient comes back. What moves the risk is not what causes the readmission.
"""


@dataclass(frozen=True)
class Evidence:
    """What was measured about a model, in addition to what its schema says.

    `subgroups` is the table of the training run, one row per level of race, gender and age; `positive_rate`
    the share of positives on test; `parity` the worst difference of the graph from scikit-learn, over
    `parity_rows` rows; `quality` the figures of this candidate in the quality report.
    """

    lineage: Lineage
    subgroups: pd.DataFrame
    gaps: Sequence[GroupQuality]
    against_lace: AgainstLace
    positive_rate: float
    parity: float
    parity_rows: int
    quality: CandidateFigures | None


def _spell(figure: Interval, digits: int = 3) -> str:
    if math.isnan(figure.value):
        return "not measurable"
    value = f"{figure.value:.{digits}f}"
    if figure.low is None or figure.high is None or math.isnan(figure.low):
        return value
    return f"{value} ({figure.low:.{digits}f} to {figure.high:.{digits}f})"


def _percent(share: float) -> str:
    return "" if math.isnan(share) else f"{share:.1%}"


def _row(*cells: str | Interval) -> str:
    return f"| {' | '.join(_spell(cell) if isinstance(cell, Interval) else cell for cell in cells)} |"


def _interval(measured: bootstrap.Interval) -> Interval:
    return Interval(value=measured.value, low=measured.low, high=measured.high)


def _purpose(schema: InputSchema) -> str:
    used = sum(field.used for field in schema.fields)
    return f"""## What it is
The risk that a diabetic inpatient is readmitted within 30 days of discharge, from {len(schema.fields)} fields
known at discharge; {used} of them move it. Kind of model: `{schema.candidate}`, the best of the candidates by
average precision on half of validation. It is made for teams who want to follow up the patients most likely
to come back, and for learning how such a system is run.
"""


def _excluded(schema: InputSchema) -> str:
    exclusions = schema.cohort.exclusions if schema.cohort else []
    return "; ".join(f"`{rule.field}` {', '.join(rule.levels)}: {rule.reason.en}" for rule in exclusions)


def _data(schema: InputSchema, lineage: Lineage) -> str:
    dataset = schema.dataset
    batches = ", ".join(str(batch) for batch in dataset.batches)
    return f"""## Data
| | |
|---|---|
| Data set | {_DATASETS[dataset.kind]} |
| SHA-256 | `{dataset.sha256}` |
| Train encounters | {dataset.train_rows:,} of batches {batches} |
| Cohort | version {lineage.cohort_version} |
| Split | version {lineage.split_version}: 70/15/15 by patient |
| Excluded | {_excluded(schema)} |
| Code | commit `{lineage.git_commit}` |
| Trained | {schema.created:%Y-%m-%d %H:%M} UTC |

Everything fitted was fitted on train alone. One half of the validation patients chose the settings and the
candidate; the other half, which chose nothing, decides whether a version replaces another. The threshold
comes from the risks of both. The test split decided nothing. No patient is in two splits.
"""


def _quality(schema: InputSchema, evidence: Evidence) -> str:
    test = schema.metrics.get("test", {})
    validation = schema.metrics.get("validation", {})
    rate, weighted = evidence.positive_rate, test.get("baseline_weighted_f1")
    baseline = f" and a weighted F1 of {weighted.value:.3f}" if weighted else ""
    lines = [
        "## How good it is",
        "Test split, with 95 % bootstrap intervals that draw patients; the same on validation.",
        "",
        "| Measure | Test | Validation |",
        "|---|---|---|",
    ]
    for name, label in _MEASURES.items():
        if name in test:
            other = _spell(validation[name]) if name in validation else ""
            lines.append(f"| {label} | {_spell(test[name])} | {other} |")
    lines += [
        "",
        f"To compare: {rate:.1%} of the test encounters are readmitted within 30 days. Drawing lots has an",
        f"average precision of {rate:.3f}. Flagging nobody has an accuracy of {1 - rate:.3f}{baseline}:",
        "figures that look good, of a model that is of no use. No model is chosen by them.",
        "",
    ]
    return "\n".join(lines)


def _beyond_the_split(schema: InputSchema, report: CandidateFigures | None) -> str:
    if report is None:
        return ""
    lines = [
        "## Beyond this split",
        f"Figures of `{schema.candidate}` at its first settings, fitted again for each row.",
        "",
        "| | ROC AUC | Average precision | Calibration error |",
        "|---|---|---|---|",
    ]
    if report.cross_validation:
        found = report.cross_validation
        lines.append(_row("Cross-validation, folds by patient", found.roc_auc, found.average_precision, ""))
    if report.partitions:
        parts = report.partitions
        spreads = (
            f"{spread.mean:.3f} ± {spread.deviation:.3f}"
            for spread in (parts.roc_auc, parts.average_precision, parts.calibration_error)
        )
        lines.append(_row(f"{parts.number} partitions by patient, mean and deviation", *spreads))
    if report.temporal:
        late = report.temporal
        lines.append(_row("Later encounters", late.roc_auc, late.average_precision, ""))
        lines += [
            "",
            f"Later encounters: trained on the {late.train_rows:,} earlier encounters and tested on the last",
            f"{late.test_rows:,} by `encounter_id`. **This is closer to what a hospital will see** than the",
            "test split above. It was measured for this card and chose nothing.",
        ]
    return "\n".join([*lines, ""])


def _against_lace(found: AgainstLace) -> str:
    thresholds = " | ".join(f"{threshold:.0%}" for threshold in THRESHOLDS)
    lines = [
        "## Against the LACE index",
        "LACE (length of stay, acuity, comorbidity, emergency visits) is a score that wards know. The data",
        "set limits it: it has three diagnoses, and emergency visits of a year, not of half a year. On test,",
        "with 95 % intervals; the lead compares both on the same draws of patients.",
        "",
        "| Measure | LACE | Lead of this model |",
        "|---|---|---|",
        *(
            _row(_MEASURES[name], _interval(found.lace[name]), _interval(found.lead[name]))
            for name in found.lace
        ),
        "",
        *(f"- {name}: {' '.join(map(str, shares))}" for name, shares in found.workload.items()),
        "",
        "Net benefit: returns found per 100 patients by acting at a risk of that size, less the calls that",
        "were not needed, weighted by the odds of that risk. A score is worth having at a threshold if it",
        "beats both acting on everybody and acting on nobody, which is zero.",
        "",
        f"| Acts on | {thresholds} |",
        f"|---|{'---|' * len(THRESHOLDS)}",
        *(_row(name, *(f"{100 * value:+.2f}" for value in values)) for name, values in found.benefit.items()),
    ]
    return "\n".join([*lines, ""])


def _one_risk(intervals: RiskIntervals | None) -> str:
    if intervals is None:
        return ""
    risks = [risk for risk in _SHOWN_RISKS if intervals.risk[0] <= risk <= intervals.risk[-1]]
    low, high = (np.interp(risks, intervals.risk, end) for end in (intervals.low, intervals.high))
    level = f"{intervals.level:.0%}"
    lines = [
        "## How sure one risk is",
        "Of the patients with a given risk, this share is expected to come back. The interval comes from the",
        "calibration on the validation patients who chose nothing. It is about patients with the same risk,",
        "not about one person, and it does not cover other hospitals or other years.",
        "",
        f"| Risk | {level} interval |",
        "|---|---|",
        *(
            _row(f"{risk:.0%}", f"{start:.1%} to {end:.1%}")
            for risk, start, end in zip(risks, low.tolist(), high.tolist(), strict=True)
        ),
        "",
        "Checked on test: in each group, the share of patients in tenths of risk whose number of returns",
        "agrees with the interval. One tenth in twenty may disagree by chance.",
        "",
        "| Group | Level | Encounters | Agrees |",
        "|---|---|---|---|",
        *(
            _row(
                group.column,
                level_name(group.level),
                f"{group.encounters:,}",
                f"{group.share:.0%}",
            )
            for group in intervals.coverage
        ),
    ]
    return "\n".join([*lines, ""])


def _fairness(evidence: Evidence) -> str:
    lines = [
        "## For whom it is worse",
        "Measured on test. A group with few positives has a wide interval.",
        f"A group of fewer than {SMALLEST} encounters is counted but not described: its figures",
        "would be about persons.",
        "",
        "| Group | Encounters | Readmitted | ROC AUC | Readmitted who are flagged |",
        "|---|---|---|---|---|",
    ]
    lines += [
        _row(
            group.name,
            f"{group.encounters:,}",
            _percent(group.positives / group.encounters),
            _interval(group.roc_auc),
            _interval(group.recall),
        )
        for group in evidence.gaps
    ]
    quality = {group.name: group for group in evidence.gaps if not math.isnan(group.roc_auc.value)}
    if {"Under 30 years", "80 years and over"} <= set(quality):
        young, old = quality["Under 30 years"].roc_auc.value, quality["80 years and over"].roc_auc.value
        worse, better = ("of 80 and over", "under 30") if old < young else ("under 30", "of 80 and over")
        lines += [
            "",
            f"**Age is the gap to know about**: patients {worse} are ordered worse than those {better}.",
        ]
    lines += [
        "",
        "Each level by itself:",
        "",
        "| | Level | Encounters | Readmitted | Mean risk | Flagged | ROC AUC | Recall | Precision |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in evidence.subgroups.to_dict("records"):
        lines.append(
            _row(
                row["column"],
                level_name(row["level"]),
                f"{row['encounters']:,}",
                *(_percent(row[name]) for name in ("observed_rate", "mean_risk", "flagged")),
                Interval(value=row["roc_auc"], low=row["roc_auc_low"], high=row["roc_auc_high"]),
                *(Interval(value=row[name]) for name in ("recall", "precision")),
            )
        )
    return "\n".join([*lines, ""])


def _use(schema: InputSchema) -> str:
    test = schema.metrics.get("test", {})
    meaning = ""
    if {"precision", "recall"} <= set(test):
        meaning = (
            f"Of the patients flagged on test, {test['precision'].value:.0%} came back within 30 days; of "
            f"those who\ncame back, {test['recall'].value:.0%} were flagged.\n"
        )
    return f"""## The threshold
A risk of {schema.threshold:.4f} or more is flagged: {schema.flagged_fraction:.1%} of the validation split.
{meaning}It is set by how many patients a team can follow up, not by what is likely: most of those flagged do
not come back.
"""


def _checks(evidence: Evidence) -> str:
    return f"""## How it is served
As an ONNX graph from the raw fields to the risk. Over {evidence.parity_rows:,} rows it differs from the
scikit-learn pipeline by at most {evidence.parity:.1e}. What each field may hold is in `input_schema.json`.
"""


def write(schema: InputSchema, evidence: Evidence) -> str:
    """Return the card as Markdown."""
    parts = [
        f"# {schema.model}: {schema.candidate}\n",
        _SYNTHETIC_BANNER if schema.dataset.synthetic else "",
        _purpose(schema),
        _LIMITS,
        _data(schema, evidence.lineage),
        _quality(schema, evidence),
        _beyond_the_split(schema, evidence.quality),
        _against_lace(evidence.against_lace),
        _fairness(evidence),
        _one_risk(schema.intervals),
        _use(schema),
        _checks(evidence),
    ]
    return "\n".join(part for part in parts if part)
