"""The plots of a candidate.

Each is a separate `Figure`, without pyplot's global state. Colors are those of Okabe and Ito, which people
with a color vision deficiency can distinguish; a shape or a line style repeats the information.
"""

from typing import Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from readmission_data.encounters.columns import MISSING
from readmission_data.training.bootstrap import Interval
from readmission_data.training.metrics import Array, Ranked, Resample, calibration_curve

BLUE: Final = "#0072B2"
ORANGE: Final = "#D55E00"
GREY: Final = "#7F7F7F"

FEW: Final = 20
"""Groups with fewer positives are drawn pale, because their figures mean little."""


def _figure(title: str, *, width: float = 6.0, height: float = 5.0) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, loc="left", fontsize=12)
    tidy(axes)
    return figure, axes


def tidy(axes: Axes) -> None:
    """Remove the frame and draw a light grid."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#E5E5E5", linewidth=0.8)
    axes.set_axisbelow(True)


def _said(name: str, interval: Interval) -> str:
    return f"{name} {interval.value:.3f} ({interval.low:.3f} to {interval.high:.3f})"


def _whole(labels: Array, scores: Array) -> Resample:
    return Resample(Ranked(labels, scores), np.ones((1, len(labels))))


def roc(labels: Array, scores: Array, area: Interval, threshold: float) -> Figure:
    """Return the ROC curve with the threshold's point."""
    at = _whole(labels, scores)
    misses = (at.totals - at.hits)[0]
    figure, axes = _figure("ROC curve, test split")
    axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", label="Chance")
    axes.plot(misses / misses[-1], at.hits[0] / at.hits[0, -1], color=BLUE, label=_said("ROC AUC", area))
    flag = scores >= threshold
    axes.plot(
        [flag[labels == 0].mean()], [flag[labels == 1].mean()], "D", color=ORANGE,
        label=f"Threshold {threshold:.3f}",
    )  # fmt: skip
    axes.set(xlabel="Share of the others flagged", ylabel="Share of the readmitted flagged")
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.legend(loc="lower right", frameon=False)
    return figure


def precision_recall(labels: Array, scores: Array, precision: Interval, threshold: float) -> Figure:
    """Return the precision-recall curve with the threshold's point and the share of positives."""
    at = _whole(labels, scores)
    hits, totals = at.hits[0, 1:], at.totals[0, 1:]
    figure, axes = _figure("Precision and recall, test split")
    rate = float(labels.mean())
    axes.axhline(rate, color=GREY, linestyle=":", label=f"Chance {rate:.3f}")
    axes.step(
        hits / hits[-1], hits / totals, color=BLUE, where="pre", label=_said("Average precision", precision)
    )
    flag = scores >= threshold
    axes.plot(
        [flag[labels == 1].mean()], [labels[flag].mean() if flag.any() else 0.0], "D", color=ORANGE,
        label=f"Threshold {threshold:.3f}",
    )  # fmt: skip
    # The first few rows jump between 0 and 1; leaving them out of the axis keeps the rest legible.
    settled = (hits / totals)[totals >= max(20, len(labels) // 200)]
    axes.set(
        xlabel="Recall: share of the readmitted flagged", ylabel="Precision: readmitted among the flagged"
    )
    axes.set(xlim=(0, 1), ylim=(0, min(1.0, 1.25 * float(settled.max(initial=rate)))))
    axes.legend(loc="upper right", frameon=False)
    return figure


def calibration(labels: Array, scores: Array, error: float) -> Figure:
    """Return observed rate against mean risk in ten bins of equal mass, with 95 % intervals."""
    risk, observed, rows = calibration_curve(labels, scores)
    spread = 1.96 * np.sqrt(observed * (1 - observed) / rows)
    figure, axes = _figure("Calibration, test split")
    limit = 1.1 * float(max(risk.max(), (observed + spread).max()))
    axes.plot([0, limit], [0, limit], color=GREY, linestyle=":", label="Perfect")
    axes.errorbar(
        risk, observed, yerr=spread, color=BLUE, marker="o", capsize=3, linewidth=1.2,
        label=f"Tenths of the encounters, error {error:.4f}",
    )  # fmt: skip
    axes.set(xlabel="Mean risk given", ylabel="Share readmitted within 30 days")
    axes.set(xlim=(0, limit), ylim=(0, limit), aspect="equal")
    axes.legend(loc="lower right", frameon=False)
    return figure


def confusion(labels: Array, scores: Array, threshold: float) -> Figure:
    """Return the confusion matrix at the threshold: counts, and shares of each true class."""
    flag = (scores >= threshold).astype(int)
    counts = np.array(
        [[int(((labels == true) & (flag == said)).sum()) for said in (0, 1)] for true in (0, 1)]
    )
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure, axes = _figure(f"Confusion matrix at {threshold:.3f}, test split", height=4.4)
    axes.grid(visible=False)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for true in (0, 1):
        for said in (0, 1):
            axes.text(
                said, true, f"{counts[true, said]:,}\n{shares[true, said]:.1%}", ha="center", va="center",
                color="white" if shares[true, said] > 0.5 else "black", fontsize=12,  # noqa: PLR2004 - half
            )  # fmt: skip
    axes.set_xticks([0, 1], ["Not flagged", "Flagged"])
    axes.set_yticks([0, 1], ["Not readmitted\nwithin 30 days", "Readmitted\nwithin 30 days"])
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    return figure


def importance(table: pd.DataFrame, top: int = 20) -> Figure:
    """Return the features whose shuffling costs most ROC AUC; `table` is `permutation_importance`'s."""
    shown = table.head(top).iloc[::-1]
    figure, axes = _figure("Most important features, validation split", width=9, height=6)
    axes.barh(shown["feature"], shown["importance"], xerr=shown["spread"], color=BLUE, ecolor=GREY)
    axes.grid(visible=False, axis="y")
    axes.locator_params(axis="x", nbins=6)
    axes.set_xlabel("ROC AUC lost when the feature is shuffled")
    return figure


def by_group(table: pd.DataFrame) -> Figure:
    """Return mean risk and observed rate, and ROC AUC with its interval, for each level of each group."""
    rows = table.iloc[::-1].reset_index(drop=True)
    figure = Figure(figsize=(10, 0.32 * len(rows) + 1.6), dpi=110, layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    figure.suptitle("Score by group, test split", x=0.01, ha="left", fontsize=12)
    for axes in (left, right):
        tidy(axes)
        axes.set_ylim(-0.7, len(rows) - 0.3)
    for place, row in rows.iterrows():
        alpha = 1.0 if row["positives"] >= FEW else 0.35
        left.plot([row["mean_risk"], row["observed_rate"]], [place, place], color="#CCCCCC", zorder=1)
        left.plot(row["mean_risk"], place, "o", color=BLUE, alpha=alpha)
        left.plot(row["observed_rate"], place, "D", color=ORANGE, alpha=alpha, markerfacecolor="none")
        right.plot([row["roc_auc_low"], row["roc_auc_high"]], [place, place], color=BLUE, alpha=alpha)
        right.plot(row["roc_auc"], place, "o", color=BLUE, alpha=alpha)
    names = [
        "All encounters"
        if row["column"] == "all"
        else f"{row['column']}: {row['level'].replace(MISSING, 'missing')}"
        for _, row in rows.iterrows()
    ]
    left.set_yticks(
        range(len(rows)),
        [f"{name}  (n={count:,})" for name, count in zip(names, rows["encounters"], strict=True)],
    )
    left.set_xlim(left=0)
    left.set_xlabel("Share of the encounters")
    left.plot([], [], "o", color=BLUE, label="Mean risk given")
    left.plot([], [], "D", color=ORANGE, markerfacecolor="none", label="Readmitted within 30 days")
    left.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False)
    right.axvline(float(rows["roc_auc"].iloc[-1]), color=GREY, linestyle=":")
    right.axvline(0.5, color="#BBBBBB", linewidth=0.8)
    right.set_xlabel(f"ROC AUC, 95 % interval (pale: under {FEW} readmitted)")
    return figure
