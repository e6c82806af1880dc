# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 1 · Load the raw data
#
# Brings the data set into **RawData**, batch after batch, with the code that the DAG `load_raw_data`
# runs, and then shows what was loaded: the ledger, the splits, the rejected rows.
#
# Each load is one transaction. You can run this notebook again: what the ledger contains is not
# loaded twice. The databases, the data set and the size of a batch are
# [settings](../src/readmission_data/settings.py), environment variables that begin with `READMISSION_`.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import sqlalchemy as sa
from IPython.display import display

from readmission_data import databases
from readmission_data.clean import checks
from readmission_data.emptying import empty
from readmission_data.encounters.columns import COLUMNS
from readmission_data.raw import ledger
from readmission_data.raw.load import load_all
from readmission_data.raw.split import TRAIN_SHARE, VALIDATION_SHARE, Split
from readmission_data.raw.tables import ENCOUNTERS, REJECTED_ROWS, read_split
from readmission_data.settings import NotebookSettings

plt.style.use("readmission.mplstyle")
settings = NotebookSettings()
print("RawData  ", databases.shown(settings.raw_url))
print("CleanData", databases.shown(settings.clean_url))

# %% [markdown]
# ## Start again, if you want to
#
# With `READMISSION_EMPTY_DATABASES=true` both databases are emptied first. By default nothing is removed.
# Models and predictions stay as they are in either case.

# %%
if settings.empty_databases:
    removed = empty(settings)
    print("removed:", ", ".join(f"{rows:,} of {table}" for table, rows in removed.items()))
else:
    print("nothing is removed")

# %% [markdown]
# ## Load, batch by batch
#
# A batch has `READMISSION_BATCH_SIZE` train rows. The first one loads all of validation and test, so that
# every model is measured on the same patients, however much of train is loaded. The last line has no batch
# if the source had nothing new.

# %%
loads = pd.DataFrame(list(load_all(settings))).drop(columns=["source", "exhausted"])
loads.style.hide(axis="index").format(thousands=",", precision=0, na_rep="nothing new")

# %% [markdown]
# ## The ledger
#
# Every row that was read is accounted for: it went to a split, was already known, or was rejected. The
# tables must contain what the ledger says.

# %%
with databases.engine(settings.raw_url) as engine, engine.connect() as connection:
    batches = pd.DataFrame(ledger.batches(connection)).set_index("batch")
    splits = {split: read_split(connection, split) for split in Split}
    refused = pd.DataFrame(
        connection.execute(sa.select(REJECTED_ROWS.c.batch, REJECTED_ROWS.c.reason)).all(),
        columns=["batch", "reason"],
    )
    per_batch = {
        split: pd.read_sql(sa.select(table.c.batch), connection)["batch"].value_counts()
        for split, table in ENCOUNTERS.items()
    }

parts = ["train_rows", "validation_rows", "test_rows", "known_rows", "rejected_rows"]
batches[["dataset_kind", "rows_read", *parts, "started", "finished"]].style.format(thousands=",").format(
    "{:%Y-%m-%d %H:%M:%S}", subset=["started", "finished"]
)

# %%
assert (batches[parts].sum(axis=1) == batches["rows_read"]).all(), "rows of a batch are unaccounted for"
for split in Split:
    held = per_batch[split].reindex(batches.index, fill_value=0)
    assert (held == batches[f"{split}_rows"]).all(), f"{split}_data does not hold what the ledger says"
assert (
    refused["batch"].value_counts().reindex(batches.index, fill_value=0) == batches["rejected_rows"]
).all()
print(f"{batches['rows_read'].sum():,} rows read in {len(batches)} batches, all accounted for")

# %%
figure, axes = plt.subplots(figsize=(9, 3.6))
bottom = np.zeros(len(batches))
for name in parts:
    axes.bar(
        batches.index.astype(str), batches[name], bottom=bottom, label=name.removesuffix("_rows"), width=0.6
    )
    bottom += batches[name].to_numpy()
axes.set(title="What each batch brought", xlabel="Batch", ylabel="Rows")
axes.yaxis.set_major_formatter("{x:,.0f}")
axes.grid(visible=False, axis="x")
axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
plt.show()

# %% [markdown]
# ## The splits
#
# A patient's split is a salted hash of the patient's number, so all encounters of a patient are in the
# same split. The shares are of patients and are close to 70, 15 and 15 %.

# %%
checks.check_patients_apart({str(split): frame for split, frame in splits.items()})
sizes = pd.DataFrame(
    {
        "encounters": {split: len(frame) for split, frame in splits.items()},
        "patients": {split: frame["patient_nbr"].nunique() for split, frame in splits.items()},
    }
)
sizes["share of patients"] = sizes["patients"] / sizes["patients"].sum()
sizes["expected"] = [TRAIN_SHARE, VALIDATION_SHARE, 1 - TRAIN_SHARE - VALIDATION_SHARE]
sizes.style.format(
    {"encounters": "{:,}", "patients": "{:,}", "share of patients": "{:.1%}", "expected": "{:.0%}"}
)

# %%
outcomes = pd.DataFrame(
    {split: frame["readmitted"].value_counts(normalize=True) for split, frame in splits.items()}
).loc[["NO", ">30", "<30"]]
figure, axes = plt.subplots(figsize=(9, 2.6))
left = np.zeros(len(Split))
for level, shares in outcomes.iterrows():
    axes.barh(list(outcomes.columns), shares, left=left, label=str(level), height=0.6)
    for place, (start, share) in enumerate(zip(left, shares, strict=True)):
        axes.text(start + share / 2, place, f"{share:.1%}", ha="center", va="center", color="white")
    left += shares.to_numpy()
axes.set(title="Readmitted: never, after 30 days, within 30 days", xlim=(0, 1))
axes.xaxis.set_major_formatter("{x:.0%}")
axes.invert_yaxis()
axes.grid(visible=False)
axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
plt.show()

# %% [markdown]
# ## Rejected rows
#
# A row that violates the schema never reaches the tables; it is kept unchanged in `rejected_rows`. Here
# are the reasons, without the rows.

# %%
if refused.empty:
    print("no row was refused")
else:
    display(refused.groupby(["batch", "reason"]).size().rename("rows").reset_index())

# %% [markdown]
# ## Missing values
#
# A missing value is `?` in the CSV and NULL in RawData. `weight` is nearly always missing, so no model
# uses it.

# %%
everyone = pd.concat(splits.values(), ignore_index=True)
missing = (
    everyone[[column.name for column in COLUMNS]].isna().mean().loc[lambda share: share > 0].sort_values()
)
figure, axes = plt.subplots(figsize=(9, 0.35 * len(missing) + 1.2))
axes.barh(missing.index, missing)
for place, share in enumerate(missing):
    axes.text(share + 0.005, place, f"{share:.1%}", va="center")
axes.set(title="Share of the encounters without a value", xlim=(0, 1.08))
axes.xaxis.set_major_formatter("{x:.0%}")
axes.grid(visible=False, axis="y")
plt.show()

# %% [markdown]
# ## The patients
#
# Bars: encounters by age. Line: the share that came back within 30 days, of the train split, with 95 %
# intervals (normal approximation).

# %%
by_age = splits[Split.TRAIN].assign(early=splits[Split.TRAIN]["readmitted"] == "<30").groupby("age")["early"]
ages = by_age.agg(["size", "mean"])
spread = 1.96 * np.sqrt(ages["mean"] * (1 - ages["mean"]) / ages["size"])
figure, axes = plt.subplots(figsize=(9, 3.6))
axes.bar(ages.index, ages["size"], color="#C9DCEB")
axes.set(title="Train split by age", xlabel="Age in years", ylabel="Encounters")
axes.yaxis.set_major_formatter("{x:,.0f}")
rate = axes.twinx()
rate.errorbar(ages.index, ages["mean"], yerr=spread, color="C1", marker="o", capsize=3)
rate.set(ylabel="Back within 30 days", ylim=(0, None))
rate.yaxis.set_major_formatter("{x:.0%}")
rate.grid(visible=False)
plt.show()
