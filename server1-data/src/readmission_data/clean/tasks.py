"""The four tasks of `preprocess_incremental`: load, clean, select features, save.

Each task reads the files of the previous one in the run's staging folder, writes its own, and passes on paths
and counts. The same batches always produce the same tables, byte for byte, no matter how often a task is
killed or run again: files are written atomically, and all tables are replaced at once.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa

from readmission_data import bulk, databases
from readmission_data.clean import checks, cohort, fitting, saving, selection, staging, tables
from readmission_data.clean.encoding import Encoding, Float32Array
from readmission_data.clean.lineage import Lineage
from readmission_data.encounters.columns import COLUMNS, Kind
from readmission_data.errors import RawDataEmptyError, StagingError
from readmission_data.raw import ledger, tombstones
from readmission_data.raw.split import Split
from readmission_data.raw.tables import ENCOUNTERS
from readmission_data.raw.tombstones import Of
from readmission_data.settings import DataSettings

_RAW: Final = "raw"
_COHORT: Final = "cohort"
_FEATURES: Final = "features"
_ERASED: Final = "erased"


@dataclass(frozen=True, slots=True)
class Stage:
    """What a task passes to the next: the folder of the run's files, and the number of rows in them."""

    run_id: str
    folder: str
    train_rows: int
    validation_rows: int
    test_rows: int

    def path(self, task: str, name: str) -> Path:
        """Return the path of one of a task's frames."""
        return Path(self.folder) / task / f"{name}.parquet"

    def with_rows(self, rows: dict[Split, int]) -> "Stage":
        """Return the same run with these row counts."""
        return replace(
            self,
            train_rows=rows[Split.TRAIN],
            validation_rows=rows[Split.VALIDATION],
            test_rows=rows[Split.TEST],
        )


def preprocess(settings: DataSettings, run_id: str) -> Stage:
    """Run all four tasks in this process."""
    return save(settings, select_features(settings, clean(settings, load(settings, run_id))))


def load(settings: DataSettings, run_id: str) -> Stage:
    """Read the batches that RawData has now.

    Raise `RawDataEmptyError` if there are none.
    """
    staging.remove_old(settings.staging_dir)
    stage = Stage(run_id, str(staging.folder(settings.staging_dir, run_id)), 0, 0, 0)
    names = [column.name for column in COLUMNS]
    rows = {}
    with databases.engine(settings.raw_url) as engine, engine.connect() as connection:
        if connection.dialect.name == "mysql":
            # One snapshot for ledger and splits, even if a loader commits meanwhile; SQLite always has one.
            connection.execution_options(isolation_level="REPEATABLE READ")
        batches = ledger.batches(connection)
        erased = len(tombstones.read(connection, Of.PATIENT))
        if not batches:
            raise RawDataEmptyError("RawData holds no batch yet: run `load` first")
        # A split is written while the next one is read.
        with ThreadPoolExecutor(max_workers=1) as writer:
            writing = []
            for split, table in ENCOUNTERS.items():
                encounters = bulk.read(connection, table, names)
                rows[split] = encounters.num_rows
                writing.append(writer.submit(_stage, stage.path(_RAW, split), encounters))
            for written in writing:
                written.result()
    staging.write_frame(stage.path(_RAW, _ERASED), pd.DataFrame({_ERASED: [erased]}))
    lineage = Lineage.of(batches, settings.split_salt, settings.seed)
    staging.write_frame(stage.path(_RAW, "lineage"), lineage.to_frame())
    return stage.with_rows(rows)


def _stage(path: Path, encounters: pa.Table) -> None:
    staging.write(path, _with_dictionaries(encounters))


def _with_dictionaries(encounters: pa.Table) -> pa.Table:
    """Return the texts as numbered levels, which makes every later step several times faster."""
    for position, column in enumerate(COLUMNS):
        if column.kind in {Kind.CATEGORY, Kind.ICD9}:
            encounters = encounters.set_column(
                position, column.name, encounters.column(column.name).dictionary_encode().combine_chunks()
            )
    return encounters


def clean(settings: DataSettings, stage: Stage) -> Stage:  # noqa: ARG001 - every task takes the settings
    """Select the cohort; check the frames before and after."""
    kept = {}
    for split in Split:
        frame = staging.read_frame(stage.path(_RAW, split))
        checks.check(checks.ENCOUNTERS, frame, f"{split} of RawData")
        kept[split] = frame[cohort.keep(frame)]
        checks.check(checks.COHORT, kept[split], f"{split} of the cohort")
        staging.write_frame(stage.path(_COHORT, split), kept[split])
    checks.check_patients_apart({str(split): frame for split, frame in kept.items()})
    return stage.with_rows({split: len(frame) for split, frame in kept.items()})


def select_features(settings: DataSettings, stage: Stage) -> Stage:
    """Fit the encoding and select the features on train, and encode all three splits."""
    train = staging.read_frame(stage.path(_COHORT, Split.TRAIN))
    label = cohort.label(train)
    checks.check_learnable(pd.Series(label), train["patient_nbr"], fitting.FOLDS)
    encoding, matrix = fitting.fit(train, settings.seed)
    patients = train["patient_nbr"].to_numpy()
    frames, matrices = {Split.TRAIN: train}, {Split.TRAIN: matrix}
    with ThreadPoolExecutor(max_workers=1) as worker:
        # Encodes the other splits while the selection leaves a core idle.
        others = worker.submit(_encode_held_out, stage, encoding)
        chosen = selection.select(matrix, label, patients, encoding.names, seed=settings.seed)
        for split, (frame, features) in others.result().items():
            frames[split], matrices[split] = frame, features
    best = chosen["name"].tolist()
    encoding, every = encoding.select(best), encoding.names
    positions = [every.index(name) for name in best]
    for split, frame in frames.items():
        processed = pd.DataFrame(matrices[split][:, positions], columns=best)
        processed.insert(0, "encounter_id", frame["encounter_id"].to_numpy())
        processed.insert(1, tables.LABEL, cohort.label(frame))
        checks.check(checks.processed(encoding.features), processed, f"processed {split}")
        staging.write_frame(stage.path(_FEATURES, split), processed)
    info = chosen.assign(
        source_column=[feature.source_column for feature in encoding.features],
        kind=[str(feature.kind) for feature in encoding.features],
    )
    staging.write_frame(
        stage.path(_FEATURES, tables.FEATURE_INFO), info[["rank", "name", "source_column", "kind", "score"]]
    )
    rows = encoding.to_frame()
    rows.insert(0, "position", np.arange(len(rows)))
    staging.write_frame(stage.path(_FEATURES, tables.FEATURE_ENCODING), rows)
    return stage


def _encode_held_out(stage: Stage, encoding: Encoding) -> dict[Split, tuple[pd.DataFrame, Float32Array]]:
    """Return the encounters of validation and test, and their features by the encoding fitted on train."""
    frames = {
        split: staging.read_frame(stage.path(_COHORT, split)) for split in Split if split is not Split.TRAIN
    }
    return {split: (frame, encoding.transform(frame)) for split, frame in frames.items()}


def save(settings: DataSettings, stage: Stage) -> Stage:
    """Replace the processed tables of CleanData with the results of the earlier tasks."""
    contents = {name: staging.read(stage.path(_FEATURES, split)) for split, name in tables.PROCESSED.items()}
    for name in (tables.FEATURE_INFO, tables.FEATURE_ENCODING):
        contents[name] = staging.read(stage.path(_FEATURES, name))
    contents[tables.LINEAGE] = staging.read(stage.path(_RAW, "lineage"))
    with databases.engine(settings.clean_url) as engine:
        saving.replace(engine, contents, lambda: _check_erased(settings, stage))
    return stage


def _check_erased(settings: DataSettings, stage: Stage) -> None:
    """Raise `StagingError` if a patient was erased since the run read RawData."""
    before = staging.read_frame(stage.path(_RAW, _ERASED))[_ERASED].item()
    with databases.engine(settings.raw_url) as engine, engine.connect() as connection:
        if len(tombstones.read(connection, Of.PATIENT)) != before:
            raise StagingError("a patient was erased meanwhile: run the tasks again, from `load`")
