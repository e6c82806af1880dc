"""Writes the page on partitions, LACE and net benefit."""

from collections.abc import Mapping

from readmission_data.training.benefit import THRESHOLDS
from readmission_data.training.bootstrap import Interval
from readmission_quality.baselines import Comparison
from readmission_quality.evaluation import HeldOutQuality
from readmission_quality.partitions import LACE, Spread


def to_markdown(
    kind: str,
    sha256: str,
    partitions: int,
    spreads: Mapping[str, Mapping[str, Spread]],
    compared: Comparison,
    temporal: Mapping[str, HeldOutQuality],
) -> str:
    """Return the page."""
    parts = [
        f"""\
# How far the figures vary, and what they are worth

Written by `server1-data/quality/baselines.py` (data set: {kind}, SHA-256 `{sha256[:12]}`). Every candidate is
fitted at its first settings with the whole pipeline, and scored by its ONNX graph. Intervals cover 95 % and
come from drawing patients.
""",
        _partitions(partitions, spreads),
        _lace(compared),
        _workload(compared),
        _benefit(compared),
        _temporal(temporal),
    ]
    return "\n".join(parts)


def _partitions(partitions: int, spreads: Mapping[str, Mapping[str, Spread]]) -> str:
    rows = [
        f"| {_name(name)} | {_spread(spread['roc_auc'])} | {_spread(spread['average_precision'])} | "
        + ("-" if name == LACE else f"{spread['calibration_error'].mean:.4f}")
        + f" | {spread['precision_top10'].mean:.3f} | {spread['recall_top10'].mean:.3f} |"
        for name, spread in spreads.items()
    ]
    return f"""\
## {partitions} partitions by patient

Each draws 70 % of the patients to train on and 15 % to test on. Mean and standard deviation over the
partitions, the least and greatest value in brackets; the last three columns are means.

| model | ROC AUC | average precision | calibration error | precision, top 10 % | recall, top 10 % |
|---|---|---|---|---|---|
{chr(10).join(rows)}

One split alone can be this much luckier or unluckier than another.
"""


def _lace(compared: Comparison) -> str:
    rows = [
        f"| {_name(name)} | {_interval(found['roc_auc'])} | {_interval(found['average_precision'])} | "
        + " | ".join(
            _interval(compared.lead[name][measure]) if name in compared.lead else "-"
            for measure in ("roc_auc", "average_precision")
        )
        + " |"
        for name, found in compared.quality.items()
    ]
    return f"""\
## Against the LACE index

LACE (length of stay, acuity, comorbidity, emergency visits; van Walraven et al. 2010) is the score that wards
know. Comorbidity is the Charlson index from the three diagnoses of an encounter, categories of Quan et al.
2005. The data set limits LACE: a hospital knows more diagnoses, and emergency visits count over a year here,
not over half a year. The {compared.rows:,} encounters of the product's test split:

| model | ROC AUC | average precision | ROC AUC over LACE | average precision over LACE |
|---|---|---|---|---|
{chr(10).join(rows)}

The last two columns compare on the same draws of patients: an interval above zero says that the model orders
such patients better than LACE does.
"""


def _workload(compared: Comparison) -> str:
    lines = [
        f"- {_name(name)}: {' '.join(str(one) for one in found)}" for name, found in compared.workload.items()
    ]
    return f"""\
## Workload

{chr(10).join(lines)}
"""


def _benefit(compared: Comparison) -> str:
    heads = " | ".join(f"{threshold:.0%}" for threshold in THRESHOLDS)
    rows = [
        f"| {_name(name)} | {' | '.join(f'{value:+.4f}' for value in found)} |"
        for name, found in compared.benefit.items()
    ]
    return f"""\
## Decision curve

Net benefit at the risk at which a team acts (Vickers and Elkin 2006): returns found per patient, less the
calls that were not needed, weighted by the odds of that risk. Acting on nobody has a benefit of zero; a score
is worth having at a threshold if it beats that and acting on everybody. LACE points count as the rate of the
train encounters with as many points.

| acts on | {heads} |
|---|{"---|" * len(THRESHOLDS)}
{chr(10).join(rows)}
"""


def _temporal(temporal: Mapping[str, HeldOutQuality]) -> str:
    rows = [
        f"| {_name(name)} | {found.train_rows:,} / {found.test_rows:,} | {_interval(found.roc_auc)} "
        f"| {_interval(found.average_precision)} |"
        for name, found in temporal.items()
    ]
    return f"""\
## Later encounters

Trained on the earlier encounters of other patients, tested on the last 15 % by `encounter_id`.

| model | rows, train and test | ROC AUC | average precision |
|---|---|---|---|
{chr(10).join(rows)}
"""


def _name(name: str) -> str:
    return f"`{name}`" if name.isidentifier() and name != "everybody" else name


def _spread(spread: Spread) -> str:
    return f"{spread.mean:.4f} ± {spread.deviation:.4f} ({spread.low:.4f} to {spread.high:.4f})"


def _interval(interval: Interval) -> str:
    return f"{interval.value:.4f} ({interval.low:.4f} to {interval.high:.4f})"
