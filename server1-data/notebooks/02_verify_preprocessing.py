# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 2 · Verify the preprocessing
#
# Verifies that the processed tables of **CleanData** are right: each rule is checked
# against **RawData** here, and a violation stops the notebook. Plots follow.
#
# The DAG `preprocess_incremental` makes the tables. If they lack a batch that RawData has, the
# same four tasks run below.

# %%
from datetime import UTC, datetime
from hashlib import sha256
from textwrap import wrap

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from readmission_data import databases
from readmission_data.clean import checks, cohort, fitting, selection, tasks
from readmission_data.clean.encoding import FeatureKind
from readmission_data.clean.tables import LABEL, read_lineage, read_processed
from readmission_data.raw import ledger
from readmission_data.raw.split import ORDER, Split, assign
from readmission_data.raw.tables import read_split
from readmission_data.settings import NotebookSettings

plt.style.use("readmission.mplstyle")
settings = NotebookSettings()

# %%
with databases.engine(settings.raw_url) as engine, engine.connect() as connection:
    batches = ledger.batches(connection)
with databases.engine(settings.clean_url) as engine, engine.connect() as connection:
    made_of = read_lineage(connection)

wanted = tuple(batch.batch for batch in batches)
if made_of is None or made_of.batches != wanted:
    stage = tasks.preprocess(settings, f"notebook-{datetime.now(UTC):%Y%m%dT%H%M%S}")
    print(f"preprocessed: {stage.train_rows:,}, {stage.validation_rows:,} and {stage.test_rows:,} encounters")
else:
    print(f"CleanData holds the {len(wanted)} batches of RawData")

# %%
with databases.engine(settings.raw_url) as engine, engine.connect() as connection:
    encounters = {split: read_split(connection, split) for split in Split}
with databases.engine(settings.clean_url) as engine, engine.connect() as connection:
    processed = read_processed(connection)
tables = {Split.TRAIN: processed.train, Split.VALIDATION: processed.validation, Split.TEST: processed.test}
names = list(processed.feature_info["name"])

# %% [markdown]
# ## No patient is in two splits
#
# Checked twice: no patient number is in two tables, and each patient is in the split of its salted hash.

# %%
checks.check_patients_apart({str(split): frame for split, frame in encounters.items()})
for split, frame in encounters.items():
    where = assign(frame["patient_nbr"].to_numpy(), settings.split_salt)
    assert (where == ORDER.index(split)).all(), f"{split} holds patients of another split"
patients = {split: frame["patient_nbr"].nunique() for split, frame in encounters.items()}
print("held:", ", ".join(f"{number:,} patients only in {split}" for split, number in patients.items()))

# %% [markdown]
# ## The cohort, and nobody else
#
# The processed tables hold exactly the encounters that can be followed by a readmission (no death, no
# hospice), with their labels in RawData.

# %%
members = {split: frame[cohort.keep(frame)] for split, frame in encounters.items()}
for split, table in tables.items():
    expected = members[split]
    assert np.array_equal(table["encounter_id"], expected["encounter_id"]), f"{split} is not the cohort"
    assert np.array_equal(table[LABEL], cohort.label(expected)), (
        f"{split} has labels that RawData does not have"
    )
    checks.check(checks.COHORT, expected, f"{split} of the cohort")

rows = pd.DataFrame(
    {
        "encounters": {split: len(frame) for split, frame in encounters.items()},
        "of the cohort": {split: len(frame) for split, frame in members.items()},
        "readmitted within 30 days": {split: table[LABEL].mean() for split, table in tables.items()},
    }
)
rows.style.format({"encounters": "{:,}", "of the cohort": "{:,}", "readmitted within 30 days": "{:.2%}"})

# %% [markdown]
# ## Fifty features, no missing values
#
# Each table has the features of `feature_info` in the order of their rank; every value is a number within
# the range of its kind.

# %%
features = processed.encoding.features
assert len(names) == selection.CHOSEN, f"{len(names)} features, not {selection.CHOSEN}"
assert list(processed.feature_info["rank"]) == list(range(1, selection.CHOSEN + 1))
for split, table in tables.items():
    checks.check(checks.processed(features), table, f"processed {split}")
    assert np.isfinite(table[names].to_numpy()).all(), f"{split} has a missing or infinite value"
print(f"held: {len(names)} features, no missing value in {sum(map(len, tables.values())):,} rows")

# %% [markdown]
# ## Fitted on train only
#
# The encoding is fitted again here from the train split only. It must be the same,
# number for number, and so must the selection of the features; then validation and test cannot have had a
# part in either. Both are then computed from RawData with that encoding, and must equal the tables to the
# last bit.

# %%
train = members[Split.TRAIN]
encoding, matrix = fitting.fit(train, processed.lineage.seed)
chosen = selection.select(
    matrix,
    cohort.label(train),
    train["patient_nbr"].to_numpy(),
    encoding.names,
    seed=processed.lineage.seed,
)
assert list(chosen["name"]) == names, "train alone gives another choice of features"
again = encoding.select(names)
pd.testing.assert_frame_equal(again.to_frame(), processed.encoding.to_frame())
crossed = matrix[:, [encoding.names.index(name) for name in names]]
assert np.array_equal(crossed, tables[Split.TRAIN][names].to_numpy(np.float32)), "train's own features differ"
for split in (Split.VALIDATION, Split.TEST):
    computed = again.transform(members[split])
    assert np.array_equal(computed, tables[split][names].to_numpy(np.float32)), (
        f"{split} was encoded otherwise"
    )
print(f"held: the encoding ({len(again.to_frame()):,} numbers) and all three tables come from train alone")

# %% [markdown]
# A rate is how often a level was readmitted. If a train row saw its own label in it, the rate would
# look far better on train than it is. The tables contain rates from *other patients* (blue); the rates that
# the encoding would compute for train (orange) show how large the error would be. Validation (green) is the
# truth: blue must be close to it.

# %%
rates = [feature.name for feature in features if feature.kind is FeatureKind.RATE]
own = pd.DataFrame(again.transform(train), columns=names)
strength = (
    pd.DataFrame(
        {
            "train, from other patients": [
                roc_auc_score(tables[Split.TRAIN][LABEL], tables[Split.TRAIN][name]) for name in rates
            ],
            "train, had it seen itself": [
                roc_auc_score(tables[Split.TRAIN][LABEL], own[name]) for name in rates
            ],
            "validation": [
                roc_auc_score(tables[Split.VALIDATION][LABEL], tables[Split.VALIDATION][name])
                for name in rates
            ],
        },
        index=rates,
    )
    .sort_values("train, had it seen itself")
    .tail(20)
)
figure, axes = plt.subplots(figsize=(9, 0.3 * len(strength) + 1.4))
for column, marker in zip(strength.columns, "oDs", strict=True):
    axes.plot(strength[column], strength.index, marker, label=column, markersize=5)
axes.set(title="How well a rate alone ranks the patients: the 20 strongest", xlabel="ROC AUC")
axes.legend(loc="lower right")
plt.show()

# %% [markdown]
# ## Lineage
#
# The tables record the batches and rules that they were made from; the ledger of RawData must agree.

# %%
lineage = processed.lineage
assert lineage.batches == wanted, f"made of batches {lineage.batches}, RawData has {wanted}"
assert [(source.source_sha256, source.rows_read) for source in lineage.sources] == [
    (batch.source_sha256, batch.rows_read) for batch in batches
], "the ledger tells of other sources"
assert lineage.split_salt_sha256 == sha256(settings.split_salt.encode()).hexdigest(), "split by another salt"
assert (lineage.cohort_version, lineage.split_version) == (cohort.COHORT_VERSION, cohort.SPLIT_VERSION)
print(f"held: data set {lineage.dataset}, {lineage.dataset_sha256[:12]}…, batches {lineage.batches}")

# %% [markdown]
# ## What the features look like
#
# The twelve best by rank, in the three splits. The lines should cover each other: a split is drawn by
# patient, not by time. Rates of train are cross-fitted, which blurs them slightly.

# %%
figure, grid = plt.subplots(4, 3, figsize=(11, 10))
for axes, feature in zip(grid.flat, features, strict=False):
    low, high = tables[Split.TRAIN][feature.name].quantile([0.001, 0.999])
    for split, table in tables.items():
        values = table[feature.name]
        if feature.kind is FeatureKind.RATE:
            weights = np.full(len(values), 1 / len(values))
            axes.hist(values, bins=np.linspace(low, high, 31), weights=weights, histtype="step", label=split)
        else:
            shares = values.value_counts(normalize=True).sort_index().loc[low:high]
            axes.plot(shares.index, shares, "o-", label=split, markersize=3, linewidth=1)
    axes.set_title("\n".join(wrap(feature.name.replace("_", " "), 34)), fontsize=9)
    axes.yaxis.set_major_formatter("{x:.0%}")
    axes.tick_params(labelsize=8)
grid[0, 0].legend(fontsize=8)
figure.suptitle("Share of the encounters by value", x=0.01, ha="left")
plt.show()

# %% [markdown]
# The score of a feature is its share of the loss reduction in forests that each leave out a
# fifth of the patients.

# %%
info = processed.feature_info.iloc[:25].iloc[::-1]
colours = {kind: f"C{place}" for place, kind in enumerate(FeatureKind)}
figure, axes = plt.subplots(figsize=(9, 7))
axes.barh(info["name"], info["score"], color=[colours[FeatureKind(kind)] for kind in info["kind"]])
for kind in dict.fromkeys(info["kind"].iloc[::-1]):
    axes.barh([], [], color=colours[FeatureKind(kind)], label=kind.replace("_", " "))
axes.set(title="The 25 best features", xlabel="Share of the loss taken away")
axes.grid(visible=False, axis="y")
axes.legend(loc="lower right")
plt.show()
