"""Writes what was found: as a page for people, and as the JSON that the model card quotes."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from readmission_data.training.bootstrap import Interval
from readmission_data.training.candidates import CANDIDATES
from readmission_quality.evaluation import QUALITY, HeldOutQuality
from readmission_quality.figures import Figures, Model
from readmission_quality.partitions import Spread
from readmission_quality.pipelines import HEADLINE

_INTRODUCTION = """\
# How good the model is

Written by `server1-data/quality/cross_validation.py`; `server1-data/quality/README.md` says how to run it
again. Intervals cover 95 % and come from drawing patients, since the encounters of one patient resemble each
other.
"""


def card_figures(figures: Figures) -> dict[str, dict[str, Any]]:
    """Return what a model card quotes, by candidate, as `model_version.quality_report` reads it."""
    found: dict[str, dict[str, Any]] = {
        name: {
            "cross_validation": {
                "roc_auc": rounded(model.roc_auc),
                "average_precision": rounded(model.average_precision),
                "folds": figures.folds,
                "rows": figures.rows,
            }
        }
        for name, model in figures.models.items()
        if name in CANDIDATES
    }
    found[HEADLINE]["temporal"] = held_out_figures(figures.temporal)
    return found


def held_out_figures(found: HeldOutQuality) -> dict[str, Any]:
    """Return the figures of one held-out part as the model card quotes them."""
    return {
        "roc_auc": rounded(found.roc_auc),
        "average_precision": rounded(found.average_precision),
        "train_rows": found.train_rows,
        "test_rows": found.test_rows,
    }


def spread_figures(found: Mapping[str, Spread]) -> dict[str, Any]:
    """Return the spread of the two headline measures as the model card quotes it."""
    return {
        name: {"mean": round(found[name].mean, 4), "deviation": round(found[name].deviation, 4)}
        for name in QUALITY
    }


def merge(path: Path, dataset_sha256: str, candidates: dict[str, dict[str, Any]]) -> None:
    """Write figures into the report at `path`.

    What it holds about the same data set and is not measured again stays: each script measures a part.
    """
    kept: dict[str, dict[str, Any]] = {}
    if path.exists():
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["dataset_sha256"] == dataset_sha256:
            kept = content["candidates"]
    for name, found in candidates.items():
        kept[name] = kept.get(name, {}) | found
    report = {"dataset_sha256": dataset_sha256, "candidates": kept}
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def to_markdown(figures: Figures, tried: str) -> str:
    """Return the page; `tried` is the hand-written part about what else was tried."""
    parts = [_INTRODUCTION, _folds(figures), _held_out(figures), _baseline(figures), _leaks(figures), tried]
    return "\n".join(parts)


def to_text(figures: Figures) -> str:
    """Return the two tables that matter for a console."""
    return "\n".join([_folds(figures), _held_out(figures)])


def _folds(figures: Figures) -> str:
    rows = [_model_row(name, model) for name, model in figures.models.items()]
    cost = figures.cost
    return f"""\
## Cross-validation

{figures.folds} folds of patients over the {figures.rows:,} encounters of {figures.patients:,} patients in the
cohort (data set: {figures.dataset_kind}, SHA-256 `{figures.dataset_sha256[:12]}`). The whole pipeline
(encoding, choice of the 50 features, model) is fitted in each fold, on the fields of a request alone. The
product's candidates are scored by their ONNX graphs, from raw fields, as server 3 does; they differ from
scikit-learn by at most {figures.onnx_difference:.1e}.

| model | ROC AUC, pooled | over the folds | average precision, pooled | over the folds |
|---|---|---|---|---|
{chr(10).join(rows)}

"All features" is `{HEADLINE}` without the choice of 50. The 50 cost {_interval(cost["roc_auc"])} of
ROC AUC and {_interval(cost["average_precision"])} of average precision (negative: they gain).
"""


def _held_out(figures: Figures) -> str:
    auc = figures.product_split.roc_auc
    pooled = figures.models[HEADLINE].roc_auc.value
    inside = "inside" if auc.low <= pooled <= auc.high else "OUTSIDE"
    rows = [
        _test_row("product's splits: train on train, test on test", figures.product_split),
        _test_row("temporal: earlier encounters of other patients, last 15 %", figures.temporal),
        _test_row("temporal: all earlier encounters, last 15 %", figures.temporal_all_earlier),
    ]
    return f"""\
## One held-out part

| `{HEADLINE}` at its first settings | rows, train and test | readmitted early | ROC AUC | average precision |
|---|---|---|---|---|
{chr(10).join(rows)}

The pooled ROC AUC of the cross-validation lies {inside} the interval of the product's test split.
The temporal test is the nearest to what a hospital will see: a model meets encounters that come after all
it knows, by `encounter_id`, which is mostly the order of time. It is reported, never used to choose. In the
first variant no patient is on both sides, as everywhere in the product; in the second the earlier
encounters of the test's patients stay in train.
"""


def _baseline(figures: Figures) -> str:
    half, found, none = figures.metrics_at_half, figures.metrics, figures.all_negative
    return f"""\
## Beside a model that flags nobody

| | accuracy | weighted F1 | recall | precision |
|---|---|---|---|---|
| nobody is flagged | {none["baseline_accuracy"]:.3f} | {none["baseline_weighted_f1"]:.3f} | 0 | - |
| `{HEADLINE}`, risk of 0.5 and more | {_flag_row(half)} |
| `{HEADLINE}`, the top 10 % of risk | {_flag_row(found)} |

{figures.prevalence:.1%} of the encounters are followed by a readmission within 30 days, so accuracy and
weighted F1 say next to nothing and choose nothing here. The risks themselves can be trusted: the expected
calibration error is {found["calibration_error"]:.4f}, the Brier score {found["brier"]:.4f}.
"""


def _leaks(figures: Figures) -> str:
    rows = [f"| {name} | {value:.3f} |" for name, value in figures.leaks.items()]
    return f"""\
## What a leak looks like

On one fold. Each row but the first makes a mistake on purpose; a figure like it is a reason to look for one.

| | ROC AUC |
|---|---|
{chr(10).join(rows)}
"""


def _flag_row(metrics: dict[str, float]) -> str:
    return " | ".join(f"{metrics[name]:.3f}" for name in ("accuracy", "weighted_f1", "recall", "precision"))


def _model_row(name: str, model: Model) -> str:
    shown = f"`{name}`" if "_" in name or name == HEADLINE else name
    return (
        f"| {shown} | {_interval(model.roc_auc)} | {_range(model.fold_roc_auc)} "
        f"| {_interval(model.average_precision)} | {_range(model.fold_average_precision)} |"
    )


def _test_row(name: str, test: HeldOutQuality) -> str:
    return (
        f"| {name} | {test.train_rows:,} / {test.test_rows:,} | {test.prevalence:.1%} "
        f"| {_interval(test.roc_auc)} | {_interval(test.average_precision)} |"
    )


def _range(values: list[float]) -> str:
    return f"{min(values):.4f} to {max(values):.4f}"


def _interval(interval: Interval) -> str:
    return f"{interval.value:.4f} ({interval.low:.4f} to {interval.high:.4f})"


def rounded(interval: Interval) -> dict[str, float]:
    """Return an interval to four digits, as JSON holds it."""
    return {name: round(value, 4) for name, value in dataclasses.asdict(interval).items()}
