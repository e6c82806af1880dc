# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 3 · Experiments
#
# The place to try things before they become a candidate of `train_and_register`. Everything here is
# recorded in MLflow under `diabetes_readmission_experiments`; nothing is registered, and no alias moves.
#
# Three questions:
#
# 1. How do several models compare on the same patients?
# 2. Would more batches help?
# 3. What changes with three classes: never, after 30 days, within 30 days?
#
# All figures are for the **validation** split. The test split decides nothing, so it is not used.

# %%
import time

import matplotlib.pyplot as plt
import mlflow
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.metrics import confusion_matrix, f1_score, precision_recall_curve, roc_curve
from sklearn.naive_bayes import GaussianNB
from threadpoolctl import threadpool_limits

from readmission_data import bulk, databases
from readmission_data.clean import cohort, fitting, selection
from readmission_data.raw.split import Split
from readmission_data.raw.tables import ENCOUNTERS, read_split
from readmission_data.settings import NotebookSettings
from readmission_data.tracking import connect
from readmission_data.training import ledger
from readmission_data.training.bootstrap import Interval, intervals, paired_bootstrap
from readmission_data.training.candidates import CANDIDATES
from readmission_data.training.data import KEY, read
from readmission_data.training.lineage import trace
from readmission_data.training.metrics import Array, calibration_curve, evaluate, threshold_for
from readmission_data.training.run import SYNTHETIC_NOTE
from readmission_data.training.search import risk, search

EXPERIMENT = "diabetes_readmission_experiments"
NEVER, LATE, EARLY = "NO", ">30", "<30"

plt.style.use("readmission.mplstyle")
settings = NotebookSettings()
# One thread adds up in one order: run again, the figures are the same.
threads = threadpool_limits(limits=1)

# %%
data = read(settings)
train, validation = data.train, data.validation
lineage = trace(settings, data)
client = connect(settings)
experiment = mlflow.set_experiment(experiment_id=ledger.experiment(client, settings.tracking_uri, EXPERIMENT))
tags = {
    "dataset": lineage.dataset,
    "dataset_sha256": lineage.dataset_sha256,
    "git_commit": lineage.git_commit,
}
prefix = ""
if lineage.synthetic:
    prefix, tags["mlflow.note.content"] = "SYNTHETIC-", SYNTHETIC_NOTE
    print("SYNTHETIC DATA: nothing below says anything about real patients")
print(f"{len(train.labels):,} train and {len(validation.labels):,} validation encounters,", end=" ")
print(f"{validation.labels.mean():.1%} readmitted within 30 days, batches {lineage.batches}")

# %% [markdown]
# ## Several models
#
# The candidates of the product, each with a small search over its settings (`READMISSION_SEARCH_TRIALS`),
# and three others: naive Bayes, extremely randomized trees, and one that gives everybody the
# same risk. Each is a run in MLflow. The intervals come from drawing patients again (95 %).


# %%
def measured(scores: Array) -> dict[str, Interval]:
    """Return the metrics of risks on validation, with intervals."""
    return intervals(
        validation.labels,
        scores,
        threshold=threshold_for(scores, settings.flagged_fraction),
        samples=settings.bootstrap_samples,
        seed=settings.seed,
        clusters=validation.patients,
        names=("roc_auc", "average_precision", "calibration_error"),
    )


def log_run(name: str, params: dict[str, object], metrics: dict[str, float]) -> None:
    """Record one model as a child of the active run."""
    with mlflow.start_run(run_name=prefix + name, nested=True, tags=tags):
        mlflow.log_params(params)
        mlflow.log_metrics({key: value for key, value in metrics.items() if np.isfinite(value)})


others = {
    "naive_bayes": GaussianNB(),
    "extra_trees": ExtraTreesClassifier(
        n_estimators=80, min_samples_leaf=20, max_features=0.3, max_samples=0.4, bootstrap=True,
        random_state=settings.seed,
    ),
    "same_risk_for_all": DummyClassifier(strategy="prior"),
}  # fmt: skip

# %%
scores, params, seconds = {}, {}, {}
for name in settings.candidates or tuple(CANDIDATES):
    began = time.monotonic()
    fitted = search(name, train, data.choosing, trials=settings.search_trials, seed=settings.seed)
    seconds[name] = time.monotonic() - began
    scores[name], params[name] = risk(fitted.estimator, validation.features), dict(fitted.params)
for name, estimator in others.items():
    began = time.monotonic()
    estimator.fit(train.features, train.labels)
    seconds[name] = time.monotonic() - began
    scores[name], params[name] = risk(estimator, validation.features), {}

# %%
table = pd.DataFrame(
    {
        name: {
            f"{metric}{end}": getattr(interval, part)
            for metric, interval in measured(given).items()
            for end, part in (("", "value"), ("_low", "low"), ("_high", "high"))
        }
        | {
            key: evaluate(validation.labels, given, threshold_for(given, settings.flagged_fraction))[key]
            for key in ("recall_top10", "brier", "log_loss")
        }
        | {"seconds": seconds[name]}
        for name, given in scores.items()
    }
).T.sort_values("average_precision", ascending=False)
best = next(name for name in table.index if name in CANDIDATES)

columns = [
    "average_precision",
    "roc_auc",
    "recall_top10",
    "calibration_error",
    "brier",
    "log_loss",
    "seconds",
]
table[columns].style.format(precision=4).format(precision=1, subset=["seconds"])

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 0.45 * len(table) + 1.4), sharey=True)
shown = table.iloc[::-1]
for axes, metric, title in (
    (left, "average_precision", "Average precision"),
    (right, "roc_auc", "ROC AUC"),
):
    spread = [shown[metric] - shown[f"{metric}_low"], shown[f"{metric}_high"] - shown[metric]]
    axes.errorbar(shown[metric], shown.index, xerr=np.abs(spread), fmt="o", capsize=3)
    axes.set(title=f"{title}, 95 % interval")
plt.show()
comparison = figure

# %%
figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 4.6))
for name in table.index:
    if name == "same_risk_for_all":
        continue
    wrong, right_ones, _ = roc_curve(validation.labels, scores[name])
    left.plot(wrong, right_ones, label=name, linewidth=1.2)
    precision, recall, _ = precision_recall_curve(validation.labels, scores[name])
    settled = slice(None, max(1, len(recall) - max(20, len(recall) // 200)))
    middle.plot(recall[settled], precision[settled], label=name, linewidth=1.2)
    if name != "naive_bayes":
        mean, observed, _ = calibration_curve(validation.labels, scores[name])
        right.plot(mean, observed, "o-", label=name, markersize=3, linewidth=1.2)
left.plot([0, 1], [0, 1], color="C6", linestyle=":")
middle.axhline(validation.labels.mean(), color="C6", linestyle=":")
limit = max(right.get_xlim()[1], right.get_ylim()[1])
right.plot([0, limit], [0, limit], color="C6", linestyle=":")
left.set(title="ROC", xlabel="Share of the others flagged", ylabel="Share of the readmitted flagged")
middle.set(title="Precision and recall", xlabel="Recall", ylabel="Precision")
right.set(title="Calibration (without naive Bayes)", xlabel="Mean risk given", ylabel="Share readmitted")
handles, labels = left.get_legend_handles_labels()
figure.legend(handles, labels, loc="outside lower center", ncols=6)
plt.show()
curves = figure

# %% [markdown]
# Is the first better than the others, or only luckier with these patients? The difference from each other
# model, on the same draws of patients: if an interval contains zero, the answer is unknown.

# %%
first = table.index[0]
differences = {
    name: paired_bootstrap(
        validation.labels,
        scores[first],
        scores[name],
        samples=settings.bootstrap_samples,
        seed=settings.seed,
        clusters=validation.patients,
    )
    for name in table.index[1:]
}
pd.DataFrame(
    {
        name: {"lead of " + first: one.value, "low": one.low, "high": one.high}
        for name, one in differences.items()
    }
).T.style.format("{:+.4f}")

# %%
with mlflow.start_run(run_name=prefix + "models", tags=tags):
    mlflow.log_params({"batches": lineage.batches, "train_rows": len(train.labels), "best": first})
    mlflow.log_table(table.rename_axis("model").reset_index(), "models.json")
    mlflow.log_figure(comparison, "comparison.png")
    mlflow.log_figure(curves, "curves.png")
    for name, row in table.iterrows():
        figures = {f"validation_{metric}": row[metric] for metric in columns[:-1]}
        log_run(str(name), {"model": name, **params[str(name)]}, figures | {"fit_seconds": row["seconds"]})

# %% [markdown]
# ## Would more batches help?
#
# What the product would have known after each batch: the encoding is fitted and the features are chosen
# on the batches so far, and the best candidate learns from them. Validation is the same for all. If
# the line flattens, more of the same data helps little, and other fields would be needed.

# %%
with databases.engine(settings.raw_url) as engine, engine.connect() as connection:
    encounters = {split: read_split(connection, split) for split in (Split.TRAIN, Split.VALIDATION)}
    came_with = bulk.read(connection, ENCOUNTERS[Split.TRAIN], [KEY, "batch"]).to_pandas()
members = {split: frame[cohort.keep(frame)] for split, frame in encounters.items()}
batch_of = came_with.set_index(KEY)["batch"].reindex(members[Split.TRAIN][KEY]).to_numpy()

curve = {}
for batch in lineage.batches:
    so_far = members[Split.TRAIN][batch_of <= batch]
    labels, patients = cohort.label(so_far), so_far["patient_nbr"].to_numpy()
    encoding, matrix = fitting.fit(so_far, settings.seed)
    names = selection.select(matrix, labels, patients, encoding.names, seed=settings.seed)["name"].tolist()
    model = CANDIDATES[best].build(params[best], settings.seed)
    model.fit(matrix[:, [encoding.names.index(name) for name in names]], labels)
    given = risk(model, encoding.select(names).transform(members[Split.VALIDATION]))
    curve[batch] = {"train_rows": len(so_far), **measured(given)}

# %%
sizes = [point["train_rows"] for point in curve.values()]
figure, grid = plt.subplots(1, 2, figsize=(11, 3.8))
for axes, metric, title in zip(
    grid, ("average_precision", "roc_auc"), ("Average precision", "ROC AUC"), strict=True
):
    points = [point[metric] for point in curve.values()]
    axes.plot(sizes, [point.value for point in points], "o-")
    axes.fill_between(sizes, [point.low for point in points], [point.high for point in points], alpha=0.15)
    for size, batch, point in zip(sizes, curve, points, strict=True):
        axes.annotate(
            f"batch {batch}", (size, point.value), (0, 8), textcoords="offset points", ha="center", fontsize=8
        )
    axes.set(title=f"{title} of {best}", xlabel="Train encounters", xlim=(0, max(sizes) * 1.08))
    axes.xaxis.set_major_formatter("{x:,.0f}")
plt.show()

with mlflow.start_run(run_name=prefix + "learning_curve", tags=tags):
    mlflow.log_params({"candidate": best, **params[best]})
    mlflow.log_figure(figure, "learning_curve.png")
    for batch, point in curve.items():
        for metric in ("average_precision", "roc_auc"):
            mlflow.log_metric(f"validation_{metric}", point[metric].value, step=batch)
        mlflow.log_metric("train_rows", point["train_rows"], step=batch)

# %% [markdown]
# ## Three classes
#
# Much published work on this data set predicts `NO`, `>30` and `<30` at once and reports a weighted F1.
# Here is that figure for the same 50 features, and what it hides: it rises with the share of the
# most common class, so a model that never finds a patient of the class that matters can look good. That is
# why the product predicts a risk of `<30` and is judged by average precision.
#
# The features were selected and their rates fitted for `<30`, to the disadvantage of the other two classes.

# %%
order = [NEVER, LATE, EARLY]
three = {split: frame["readmitted"].astype("str").to_numpy() for split, frame in members.items()}
answers = {}
classifiers = {
    name: CANDIDATES[name].build(params[name], settings.seed) for name in params if name in CANDIDATES
}
classifiers["always_the_commonest"] = DummyClassifier(strategy="most_frequent")
for name, classifier in classifiers.items():
    classifier.fit(train.features, three[Split.TRAIN])
    answers[name] = classifier.predict(validation.features)

truth = three[Split.VALIDATION]
three_table = pd.DataFrame(
    {
        name: {
            "weighted F1": f1_score(truth, said, average="weighted", labels=order, zero_division=0),
            "macro F1": f1_score(truth, said, average="macro", labels=order, zero_division=0),
            "accuracy": (truth == said).mean(),
        }
        | {
            f"F1 of {level}": score
            for level, score in zip(
                order, f1_score(truth, said, average=None, labels=order, zero_division=0), strict=True
            )
        }
        for name, said in answers.items()
    }
).T.sort_values("weighted F1", ascending=False)
three_table.style.format(precision=3)


# %%
def confusion(name: str) -> Figure:
    """Return the confusion matrix of one model: counts, and shares of each true class."""
    counts = confusion_matrix(truth, answers[name], labels=order)
    shares = counts / counts.sum(axis=1, keepdims=True)
    drawn, axes = plt.subplots(figsize=(5.6, 4.4))
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for place, share in np.ndenumerate(shares):
        axes.text(
            place[1], place[0], f"{counts[place]:,}\n{share:.0%}", ha="center", va="center",
            color="white" if share > 0.5 else "black",
        )  # fmt: skip
    axes.set_xticks(range(3), order)
    axes.set_yticks(range(3), order)
    axes.set(title=f"{name}: true class by row", xlabel="Predicted", ylabel="True")
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    return drawn


figure = confusion(three_table.index[0])
plt.show()

with mlflow.start_run(run_name=prefix + "three_classes", tags=tags):
    mlflow.log_figure(figure, "confusion.png")
    for name, row in three_table.iterrows():
        figures = {
            "validation_weighted_f1": row["weighted F1"],
            "validation_macro_f1": row["macro F1"],
            "validation_accuracy": row["accuracy"],
            "validation_f1_never": row[f"F1 of {NEVER}"],
            "validation_f1_late": row[f"F1 of {LATE}"],
            "validation_f1_early": row[f"F1 of {EARLY}"],
        }
        log_run(f"three_classes-{name}", {"model": name, **params.get(str(name), {})}, figures)

assert three_table["weighted F1"].iloc[0] > three_table.loc["always_the_commonest", "weighted F1"]
print(f"runs are in MLflow, experiment {experiment.name}")
