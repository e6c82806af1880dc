# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 4 · Monitoring
#
# Server 3 writes every prediction into its **prediction log**, and the outcome of the patient when it
# is known. This notebook reads it (`READMISSION_PREDICTION_LOG_URL`; [its two
# tables](../../docs/contracts/prediction_log.sql)) and compares it with what the model version says about
# itself: is the population still the one it learned from, and are the risks still right?
#
# Prometheus watches the latest hour and raises alerts; this notebook is for longer periods. The
# figures are the same: the population stability index (PSI), and the ROC AUC over outcomes.

# %%
from dataclasses import asdict

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from readmission_data.model_version.contract import MODEL_NAME
from readmission_data.monitoring import prediction_log, stability
from readmission_data.monitoring.stability import LARGE, MODERATE
from readmission_data.registry import aliases, versions
from readmission_data.settings import NotebookSettings
from readmission_data.tracking import connect
from readmission_data.training.bootstrap import intervals
from readmission_data.training.metrics import calibration_curve

FEW = 200
plt.style.use("readmission.mplstyle")
settings = NotebookSettings()
log = prediction_log.read(settings, MODEL_NAME)
everything = log.predictions

# %% [markdown]
# ## What is in the log

# %%
by_version = everything.groupby("version").agg(
    predictions=("id", "size"),
    first=("predicted_at", "min"),
    last=("predicted_at", "max"),
    mean_risk=("probability", "mean"),
    flagged=("class", "mean"),
    outcomes=("readmitted", "count"),
    readmitted=("readmitted", "mean"),
)
client = connect(settings)
names = {number: alias for alias, number in aliases.current(client).items()}
by_version.insert(0, "alias", [names.get(number, "") for number in by_version.index])
by_version.style.format("{:,}", subset=["predictions", "outcomes"]).format(
    "{:.1%}", subset=["mean_risk", "flagged", "readmitted"], na_rep=""
).format("{:%Y-%m-%d %H:%M}", subset=["first", "last"])

# %% [markdown]
# From here on, only the latest version.

# %%
number = str(everything["version"].iloc[-1])
version = versions.load(client, number)
schema = version.schema
own = log.of_version(number)
predictions, inputs = own.predictions, own.inputs
print(f"version {number}: {len(predictions):,} predictions, {predictions['readmitted'].count():,} outcomes")
if schema.dataset.synthetic:
    print("SYNTHETIC DATA: the version knows nothing of real patients")
if len(predictions) < FEW:
    print(f"fewer than {FEW} predictions: the figures below say little")

# %% [markdown]
# ## Does the log agree with the model?
#
# The logged patients are scored again with the version's own graph. A different risk means
# that the log, or the model that served, is not what it claims to be.

# %%
again = version.score(inputs)
worst = float(np.abs(again - predictions["probability"]).max())
assert worst < 1e-6, f"the version's graph gives other risks than the log, by up to {worst:.2g}"
flags = (predictions["probability"] >= schema.threshold).astype(int)
assert (flags == predictions["class"]).all(), "classes in the log were not made with the version's threshold"
print(f"held: {len(predictions):,} risks, the worst off by {worst:.1g}; threshold {schema.threshold:.3f}")

# %% [markdown]
# ## Drift, field by field
#
# The PSI compares the distribution of a field's values now with that of the train split. Below 0.1
# little has changed; above 0.25 much has.

# %%
index = stability.by_field(schema, inputs)
shown = index.iloc[:15].iloc[::-1]
figure, axes = plt.subplots(figsize=(9, 5))
colours = np.select([shown >= LARGE, shown >= MODERATE], ["C1", "C4"], "C0")
axes.barh(shown.index, shown, color=colours)
for limit in (MODERATE, LARGE):
    axes.axvline(limit, color="C6", linestyle=":")
    axes.annotate(
        f"{limit:g}", (limit, 1), (2, 2), xycoords=("data", "axes fraction"), textcoords="offset points"
    )
axes.set(xlabel="Population stability index over the whole log", xlim=(0, max(1.1 * shown.max(), 0.3)))
axes.grid(visible=False, axis="y")
axes.set_title("The 15 fields that moved most", pad=16)
plt.show()

# %% [markdown]
# The top three, value by value.

# %%
fields = {field.name: field for field in schema.fields}
figure, grid = plt.subplots(1, 3, figsize=(13, 4.2))
for axes, name in zip(grid, index.index[:3], strict=True):
    shares = stability.field_shares(fields[name], inputs[name], schema.icd9_groups)
    shares = shares[shares.max(axis=1) >= 0.01]
    if name == "age":
        shares = shares.sort_index()
    elif fields[name].kind != "integer":
        shares = shares.sort_values("expected", ascending=False)
    shares = shares.iloc[:12].iloc[::-1]
    places = np.arange(len(shares))
    axes.barh(places + 0.2, shares["expected"], height=0.4, label="train")
    axes.barh(places - 0.2, shares["actual"], height=0.4, label="log")
    axes.set_yticks(places, [str(level)[:24] for level in shares.index])
    axes.set_title(f"{fields[name].label.en}: {index[name]:.2f}")
    axes.xaxis.set_major_formatter("{x:.0%}")
    axes.grid(visible=False, axis="y")
grid[0].legend()
plt.show()

# %% [markdown]
# ## Drift over time
#
# The log in parts of equal size (`READMISSION_MONITORED_PERIODS`), oldest first. A field that jumps shows
# a change in coding or in the requests; one that creeps shows a change in the patients.

# %%
periods = np.array_split(np.arange(len(predictions)), min(settings.monitored_periods, len(predictions)))
starts = [predictions["predicted_at"].iloc[rows[0]] for rows in periods]
over_time = pd.DataFrame([stability.by_field(schema, inputs.iloc[rows]) for rows in periods], index=starts)
over_time.index = pd.Index([f"{start:%d %b %Y %H:%M}" for start in starts])
highest = over_time.max().sort_values(ascending=False).index[:12]

figure, axes = plt.subplots(figsize=(11, 4.8))
image = axes.imshow(over_time[highest].T, cmap="OrRd", vmin=0, vmax=2 * LARGE, aspect="auto")
for (row, column), value in np.ndenumerate(over_time[highest].T.to_numpy()):
    axes.text(
        column,
        row,
        f"{value:.2f}",
        ha="center",
        va="center",
        fontsize=8,
        color="white" if value > 0.4 else "black",
    )
axes.set_yticks(range(len(highest)), highest)
axes.set_xticks(range(len(periods)), over_time.index, rotation=30, ha="right")
axes.set(title=f"Population stability index in {len(periods)} parts of {len(periods[0]):,} predictions")
axes.grid(visible=False)
axes.spines[:].set_visible(False)
plt.show()

# %% [markdown]
# ## The risks themselves
#
# Bars: the risks in the log. Line: those of the validation split when the version was trained; its tenths
# have equal mass, so each step is drawn at its density. The shift is the PSI of the risk.

# %%
histogram = schema.scores.distribution
score_shift = stability.stability_index(
    stability.histogram_shares(histogram, predictions["probability"].to_numpy())
)
top = max(schema.scores.quantiles[-2], float(predictions["probability"].quantile(0.99)))
figure, axes = plt.subplots(figsize=(9, 3.8))
axes.hist(
    predictions["probability"], bins=np.linspace(0, top, 41), density=True, color="#C9DCEB", label="log"
)
edges = np.array([schema.scores.quantiles[0], *histogram.edges, schema.scores.quantiles[-1]])
axes.stairs(np.array(histogram.shares) / np.diff(edges), edges, color="C1", label="validation", linewidth=1.5)
axes.axvline(schema.threshold, color="C6", linestyle=":")
axes.annotate(
    f"threshold {schema.threshold:.3f}", (schema.threshold, 1), (4, -12), xycoords=("data", "axes fraction"),
    textcoords="offset points",
)  # fmt: skip
axes.set(title=f"Risk of readmission within 30 days: PSI {score_shift:.3f}", xlabel="Risk", ylabel="Density")
axes.set(xlim=(0, top))
axes.legend()
plt.show()

# %%
risks = [predictions["probability"].iloc[rows] for rows in periods]
means = [part.mean() for part in risks]
low, high = ([part.quantile(share) for part in risks] for share in (0.1, 0.9))
figure, axes = plt.subplots(figsize=(9, 3.2))
axes.fill_between(starts, low, high, alpha=0.15, label="10 to 90 % of the patients")
axes.plot(starts, means, "o-", label="mean risk")
axes.axhline(np.mean(schema.scores.quantiles), color="C1", linestyle="--", label="mean in validation")
axes.set(title="Risk over time", ylim=(0, None))
axes.yaxis.set_major_formatter("{x:.0%}")
axes.legend(loc="upper left")
figure.autofmt_xdate()
plt.show()

# %% [markdown]
# ## Were the risks right?
#
# Only outcomes can show this. They arrive 30 days later, so the newest part of the log has none. The band is
# the model card's 95 % interval on the test split; a part that is completely below it
# deserves a look.

# %%
known = predictions[predictions["readmitted"].notna()].reset_index(drop=True)
promised = schema.metrics["test"]["roc_auc"]


def roc_auc(rows: pd.DataFrame) -> dict[str, float]:
    """Return the ROC AUC over the outcomes of some predictions as value, low and high."""
    found = intervals(
        rows["readmitted"].to_numpy(),
        rows["probability"].to_numpy(),
        threshold=schema.threshold,
        samples=settings.bootstrap_samples,
        seed=settings.seed,
        names=("roc_auc",),
    )
    return asdict(found["roc_auc"])


cuts = np.array_split(np.arange(len(known)), min(settings.monitored_periods, max(len(known), 1)))
parts = [known.iloc[rows] for rows in cuts if known["readmitted"].iloc[rows].nunique() == 2]
quality = [{"from": part["predicted_at"].iloc[0], "outcomes": len(part), **roc_auc(part)} for part in parts]
if not quality:
    print("no outcomes of both kinds yet: nothing can be said about how good the risks were")

# %%
if quality:
    found = pd.DataFrame(quality)
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.2), width_ratios=(1.6, 1))
    spread = [found["value"] - found["low"], found["high"] - found["value"]]
    left.axhspan(promised.low, promised.high, color="C2", alpha=0.15, label="promised by the model card")
    left.axhline(0.5, color="C6", linestyle=":", label="chance")
    left.errorbar(
        found["from"], found["value"], yerr=np.abs(spread), fmt="o-", capsize=3, label="over outcomes"
    )
    left.set(title="ROC AUC over outcomes, 95 % interval")
    left.tick_params(axis="x", rotation=30)
    left.legend(loc="lower left")

    mean, observed, rows = calibration_curve(known["readmitted"].to_numpy(), known["probability"].to_numpy())
    error = 1.96 * np.sqrt(observed * (1 - observed) / rows)
    limit = 1.1 * max(mean.max(), (observed + error).max())
    right.plot([0, limit], [0, limit], color="C6", linestyle=":")
    right.errorbar(mean, observed, yerr=error, fmt="o-", capsize=3)
    right.set(title="Calibration over outcomes", xlabel="Mean risk given", ylabel="Share readmitted")
    right.set(xlim=(0, limit), ylim=(0, limit))
    plt.show()

# %% [markdown]
# ## In one table

# %%
summary = {
    "fields with PSI above 0.25": f"{int((index >= LARGE).sum())} of {len(index)}",
    "fields with PSI above 0.1": f"{int((index >= MODERATE).sum())} of {len(index)}",
    "PSI of the risk": f"{score_shift:.3f}",
    "flagged": f"{predictions['class'].mean():.1%} ({schema.flagged_fraction:.1%} of validation)",
    "outcomes": f"{len(known):,} of {len(predictions):,}",
}
if quality:
    whole = roc_auc(known)
    summary["ROC AUC over outcomes"] = "{value:.3f} ({low:.3f} to {high:.3f})".format(**whole)
    summary["ROC AUC of the model card"] = f"{promised.value:.3f} ({promised.low:.3f} to {promised.high:.3f})"
pd.Series(summary, name=f"version {number}").to_frame()
