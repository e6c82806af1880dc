"""The inputs of a registration: the finished training, and its encounters."""

from collections.abc import Mapping
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
import pandas as pd
import sqlalchemy as sa
from mlflow.artifacts import download_artifacts
from mlflow.exceptions import MlflowException

from readmission_data import databases
from readmission_data.clean import cohort
from readmission_data.clean.encoding import Encoding
from readmission_data.errors import RegistryError
from readmission_data.model_version.contract import Interval
from readmission_data.model_version.parity import Classifier
from readmission_data.raw import split as splits
from readmission_data.raw.tables import Split, read_split
from readmission_data.settings import DataSettings
from readmission_data.training.data import KEY, LABEL
from readmission_data.training.lineage import Lineage
from readmission_data.training.metrics import METRICS, Array
from readmission_data.training.result import (
    TrainingResult,
    load_encoding,
    load_estimator,
    load_lineage,
    load_metrics,
    load_subgroups,
)
from readmission_data.training.run import PROCESSED_FOLDER

_BASELINES: Final = ("baseline_accuracy", "baseline_weighted_f1")


@dataclass(frozen=True)
class Encounters:
    """The cohort of a split: the encounters frame of n rows, labels (0/1) and patients, both of shape [n]."""

    frame: pd.DataFrame
    labels: Array
    patients: Array


@dataclass(frozen=True)
class Sources:
    """A finished training's best candidate, and the encounters behind it."""

    result: TrainingResult
    encoding: Encoding
    estimator: Classifier
    lineage: Lineage
    subgroups: pd.DataFrame
    metrics: dict[str, dict[str, Interval]]
    train: Encounters
    validation: Encounters
    test: Encounters


def encounters(connection: sa.Connection, split: Split) -> Encounters:
    """Read the cohort of a split from RawData, in the order of `encounter_id`."""
    frame = read_split(connection, split)
    return _about(frame[cohort.keep(frame)].reset_index(drop=True))


def judging(settings: DataSettings) -> Encounters:
    """Return the part of today's validation split that judges versions; no training uses it to choose."""
    with databases.engine(settings.raw_url) as engine, engine.connect() as connection:
        return judges(encounters(connection, Split.VALIDATION), settings.split_salt)


def judges(validation: Encounters, salt: str) -> Encounters:
    """Return the encounters of a validation split that are used to judge versions."""
    mask = splits.judges(validation.patients, salt)
    return Encounters(
        validation.frame[mask].reset_index(drop=True), validation.labels[mask], validation.patients[mask]
    )


def read(settings: DataSettings, result: TrainingResult) -> Sources:
    """Return everything that a version of this training is built from.

    None of it comes from CleanData, which may have been replaced since. Raise `RegistryError` if RawData has
    changed since the training.
    """
    seen = {split: _processed(result, split) for split in Split}
    encoding = load_encoding(settings, result)
    with databases.engine(settings.raw_url) as engine, engine.connect() as connection:
        found = {split: _trained_on(encounters(connection, split), seen[split], result) for split in Split}
    _check_encoding(encoding, found[Split.VALIDATION], seen[Split.VALIDATION], result)
    return Sources(
        result=result,
        encoding=encoding,
        estimator=load_estimator(settings, result),
        lineage=load_lineage(settings, result),
        subgroups=load_subgroups(settings, result),
        metrics=_by_split(load_metrics(settings, result)),
        train=found[Split.TRAIN],
        validation=found[Split.VALIDATION],
        test=found[Split.TEST],
    )


def _about(frame: pd.DataFrame) -> Encounters:
    return Encounters(frame, cohort.label(frame), frame["patient_nbr"].to_numpy(np.int64))


def _processed(result: TrainingResult, split: Split) -> pd.DataFrame:
    """Return a processed table as the training stored it."""
    with TemporaryDirectory(prefix="readmission-") as folder:
        try:
            path = download_artifacts(
                run_id=result.run_id, artifact_path=f"{PROCESSED_FOLDER}/{split}.parquet", dst_path=folder
            )
            return pd.read_parquet(path)
        except (MlflowException, OSError) as error:
            raise RegistryError(
                f"the tables of training run {result.run_id} are not in MLflow's artifact store: train again"
            ) from error


def _trained_on(today: Encounters, seen: pd.DataFrame, result: TrainingResult) -> Encounters:
    """Return today's encounters that the training used; RawData may have grown since."""
    frame = today.frame[today.frame[KEY].isin(seen[KEY])].reset_index(drop=True)
    if len(frame) != len(seen):
        raise RegistryError(
            f"{len(seen) - len(frame)} encounters of training run {result.run_id} are no longer in RawData"
        )
    return _about(frame)


def _check_encoding(encoding: Encoding, rows: Encounters, seen: pd.DataFrame, result: TrainingResult) -> None:
    """Raise `RegistryError` if the encoding or the encounters differ from the training's.

    An encoding is exact, so the features that it computes from RawData must equal the training's bit for bit.
    """
    names = [name for name in seen.columns if name not in {KEY, LABEL}]
    same = names == list(encoding.names) and np.array_equal(
        encoding.transform(rows.frame), seen[names].to_numpy(np.float32)
    )
    if not same:
        raise RegistryError(
            f"RawData has changed since training run {result.run_id}: run train_and_register again"
        )


def _by_split(figures: Mapping[str, float]) -> dict[str, dict[str, Interval]]:
    """Return `test_roc_auc`, `test_roc_auc_low` and so on as intervals by split."""
    return {
        split: {
            name: Interval(
                value=figures[f"{split}_{name}"],
                low=figures.get(f"{split}_{name}_low"),
                high=figures.get(f"{split}_{name}_high"),
            )
            for name in (*METRICS, *_BASELINES)
            if f"{split}_{name}" in figures
        }
        for split in ("validation", "test")
    }
