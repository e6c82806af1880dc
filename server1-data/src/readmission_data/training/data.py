"""What a training reads: the processed tables, and the raw fields that tell whom a row is about."""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import pandas as pd
import sqlalchemy as sa

from readmission_data import bulk, databases
from readmission_data.clean.tables import LABEL, Processed, read_processed
from readmission_data.errors import TrainingError
from readmission_data.raw import split as splits
from readmission_data.raw.tables import ENCOUNTERS, Split
from readmission_data.settings import DataSettings
from readmission_data.training.metrics import Array
from readmission_data.training.subgroups import GROUP_COLUMNS

__all__ = ["KEY", "LABEL", "SplitRows", "TrainingData", "read"]

KEY: Final = "encounter_id"


@dataclass(frozen=True)
class SplitRows:
    """The n rows of one split, in the order of `encounter_ids`.

    features: float32 [n, features]; labels: int8 [n] of 0 and 1; patients: int64 [n]; groups: a frame [n, 3]
    of race, gender and age as in RawData.
    """

    encounter_ids: Array
    features: Array
    labels: Array
    patients: Array
    groups: pd.DataFrame

    def where(self, mask: Array) -> "SplitRows":
        """Return the rows for which `mask`, bool [n], is true."""
        return SplitRows(
            encounter_ids=self.encounter_ids[mask],
            features=self.features[mask],
            labels=self.labels[mask],
            patients=self.patients[mask],
            groups=self.groups[mask].reset_index(drop=True),
        )


@dataclass(frozen=True)
class TrainingData:
    """The three splits and the processed tables that they came from."""

    train: SplitRows
    validation: SplitRows
    test: SplitRows
    feature_names: tuple[str, ...]
    processed: Processed
    split_salt: str

    @cached_property
    def choosing(self) -> SplitRows:
        """The part of validation that chooses the settings and the candidate; the gate judges on the rest."""
        return self.validation.where(~splits.judges(self.validation.patients, self.split_salt))

    @property
    def frames(self) -> dict[str, pd.DataFrame]:
        """The processed tables by split."""
        return {
            "train": self.processed.train,
            "validation": self.processed.validation,
            "test": self.processed.test,
        }


def read(settings: DataSettings) -> TrainingData:
    """Read CleanData and join RawData on the encounter.

    Raise TrainingError if a split, or a part of validation, lacks one of both labels, or if RawData lacks an
    encounter.
    """
    with databases.engine(settings.clean_url) as engine, engine.connect() as connection:
        processed = read_processed(connection)
    names = tuple(processed.feature_info["name"])
    with databases.engine(settings.raw_url) as engine, engine.connect() as raw:
        train = _rows(raw, Split.TRAIN, processed.train, names)
        validation = _rows(raw, Split.VALIDATION, processed.validation, names)
        test = _rows(raw, Split.TEST, processed.test, names)
    data = TrainingData(train, validation, test, names, processed, settings.split_salt)
    judged = splits.judges(validation.patients, settings.split_salt)
    for part, labels in (("chooses", data.choosing.labels), ("judges", validation.labels[judged])):
        _check_labels(labels, f"part of the validation split that {part}")
    return data


def _rows(raw: sa.Connection, split: Split, processed: pd.DataFrame, names: tuple[str, ...]) -> SplitRows:
    labels = processed[LABEL].to_numpy(np.int8)
    _check_labels(labels, f"{split} split")
    about = bulk.read(raw, ENCOUNTERS[split], [KEY, "patient_nbr", *GROUP_COLUMNS]).to_pandas()
    about = about.set_index(KEY).reindex(processed[KEY].to_numpy())
    absent = int(about["patient_nbr"].isna().sum())
    if absent:
        raise TrainingError(
            f"{absent} encounters of the {split} split are not in RawData: run preprocess_incremental again"
        )
    return SplitRows(
        encounter_ids=processed[KEY].to_numpy(np.int64),
        features=np.ascontiguousarray(processed[list(names)].to_numpy(np.float32)),
        labels=labels,
        patients=about["patient_nbr"].to_numpy(np.int64),
        groups=about[list(GROUP_COLUMNS)].reset_index(drop=True),
    )


def _check_labels(labels: Array, part: str) -> None:
    if len(np.unique(labels)) < 2:  # noqa: PLR2004 - both labels
        raise TrainingError(f"the {part} holds {len(labels)} encounters of one label only: load more batches")
