"""Erases a patient from RawData, CleanData, the prediction log and MLflow's artifacts.

The tombstones are committed first. Each later step can be repeated, so a run that was killed is completed by
running it again; `apply` does the same for all tombstones after a restore.
"""

import json
import shutil
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Final

import pandas as pd
import sqlalchemy as sa

from readmission_data import databases
from readmission_data.clean import saving
from readmission_data.clean import tables as clean_tables
from readmission_data.encounters.columns import COLUMNS
from readmission_data.errors import ErasureError
from readmission_data.privacy import artifacts, predictions
from readmission_data.raw import tables, tombstones
from readmission_data.raw.tombstones import Erased, Of
from readmission_data.settings import DataSettings

_AT_ONCE: Final = 1_000
_LINES_AT_ONCE: Final = 5_000


@dataclass(frozen=True, slots=True)
class Report:
    """What an erasure removed, in rows. It contains no patient's number, only tombstones.

    `batches` are those that brought the encounters, `trained_versions` the model versions whose training read
    one of these batches: the patient's contribution to them cannot be removed.
    """

    tombstones: tuple[str, ...]
    raw: int
    rejected: int
    clean: int
    predictions: int
    outcomes: int
    artifacts: int
    batches: tuple[int, ...]
    trained_versions: tuple[str, ...]


def erase(settings: DataSettings, patient: int, request_ids: frozenset[str] = frozenset()) -> Report:
    """Erase a patient, and the predictions of some requests; raise `ErasureError` without a key."""
    keys = tombstones.erasure_keys(settings)
    stone = tombstones.keyed_hash(keys[0], Of.PATIENT, str(patient))
    with databases.engine(settings.raw_url) as engine:
        with engine.begin() as connection:
            tables.create(connection)
            tombstones.create(connection)
        with engine.begin() as connection:
            tombstones.add(connection, Of.PATIENT, [stone])
    return _apply(settings, Erased(keys, frozenset({stone})), request_ids)


def apply(settings: DataSettings) -> Report:
    """Erase all previously erased patients again: a restore may have brought them back."""
    with databases.engine(settings.raw_url) as engine, engine.connect() as connection:
        erased = tombstones.erased(connection, settings)
    return _apply(settings, erased, frozenset())


def _apply(settings: DataSettings, erased: Erased, request_ids: frozenset[str]) -> Report:
    with databases.engine(settings.raw_url) as engine:
        with engine.connect() as connection:
            encounters = _encounters(connection, erased)
        with engine.begin() as connection:
            # Committed before the encounters go, for without these the predictions could not be found.
            tombstones.create(connection)
            tombstones.add(connection, Of.INPUTS, predictions.of_encounters(erased.keys, encounters))
        with engine.connect() as connection:
            inputs = tombstones.read(connection, Of.INPUTS)
    # Runs that read RawData before the tombstone was there; their tasks have to start again.
    for folder in settings.staging_dir.glob("*/"):
        shutil.rmtree(folder)
    clean = _erase_processed(settings, encounters["encounter_id"].tolist())
    logged, outcomes = _erase_logged(settings, erased.keys, inputs, request_ids)
    batches = tuple(sorted(set(encounters["batch"].tolist())))
    found = Report(
        tombstones=tuple(sorted(erased.patients)),
        raw=0,
        rejected=0,
        clean=clean,
        predictions=logged,
        outcomes=outcomes,
        artifacts=artifacts.erase(settings, encounters["encounter_id"].tolist()),
        batches=batches,
        trained_versions=artifacts.trained_versions(settings, batches),
    )
    # Last: until now a repetition finds the patient's encounters here.
    return _erase_raw(settings, erased, found)


def _encounters(connection: sa.Connection, erased: Erased) -> pd.DataFrame:
    """Return all encounters of the erased patients, with the batch that brought each."""
    names = [column.name for column in COLUMNS]
    frames = [pd.DataFrame(columns=[*names, "batch"])]
    for table in tables.ENCOUNTERS.values():
        if not sa.inspect(connection).has_table(table.name):
            continue
        known = connection.execute(sa.select(table.c.patient_nbr).distinct()).scalars()
        patients = [patient for patient in known if erased.holds(patient)]
        for start in range(0, len(patients), _AT_ONCE):
            query = sa.select(table).where(table.c.patient_nbr.in_(patients[start : start + _AT_ONCE]))
            result = connection.execute(query)
            frames.append(pd.DataFrame(result.all(), columns=list(result.keys()), dtype=object))
    return pd.concat(frames, ignore_index=True)


def _erase_raw(settings: DataSettings, erased: Erased, found: Report) -> Report:
    """Delete encounters and rejected rows and keep the report, while no load runs, in one transaction."""
    raw = rejected = 0
    with (
        databases.engine(settings.raw_url) as engine,
        databases.exclusive(engine, "raw") as connection,
        connection.begin(),
    ):
        # Read again: a load that ran meanwhile may have brought more.
        encounters = _encounters(connection, erased)["encounter_id"].tolist()
        for table in tables.METADATA.sorted_tables:
            if "encounter_id" not in table.c or not sa.inspect(connection).has_table(table.name):
                continue
            count = _delete(connection, table, encounters)
            raw += count if table in tables.ENCOUNTERS.values() else 0
        rejected = _erase_rejected(connection, erased)
        report = replace(found, raw=raw, rejected=rejected)
        connection.execute(
            sa.insert(tombstones.REPORTS).values(
                report=json.dumps(asdict(report)), written_at=datetime.now(UTC).replace(tzinfo=None)
            )
        )
    return report


def _erase_rejected(connection: sa.Connection, erased: Erased) -> int:
    table = tables.REJECTED_ROWS
    place = sa.tuple_(table.c.batch, table.c.line_number)
    count, after = 0, (0, 0)
    while True:
        query = sa.select(table.c.batch, table.c.line_number, table.c.encoding, table.c.line)
        query = query.where(place > after).order_by(table.c.batch, table.c.line_number).limit(_LINES_AT_ONCE)
        rows = connection.execute(query).all()
        if not rows:
            return count
        for row in rows:
            if erased.named_in(tables.line_of(row.encoding, row.line)):
                same = (table.c.batch == row.batch) & (table.c.line_number == row.line_number)
                count += connection.execute(sa.delete(table).where(same)).rowcount
        after = (rows[-1].batch, rows[-1].line_number)


def _erase_processed(settings: DataSettings, encounters: list[int]) -> int:
    """Delete the processed rows, while no other process replaces the tables, in one transaction."""
    count = 0
    with (
        databases.engine(settings.clean_url) as engine,
        databases.exclusive(engine, saving.SECTION) as connection,
        connection.begin(),
    ):
        there = set(sa.inspect(connection).get_table_names())
        for name in clean_tables.PROCESSED.values():
            if name not in there:
                continue
            table = sa.table(name, sa.column("encounter_id", sa.BigInteger))
            count += _delete(connection, table, encounters)
    return count


def _delete(connection: sa.Connection, table: sa.TableClause, encounters: list[int]) -> int:
    """Delete the rows of some encounters; return how many."""
    count = 0
    for start in range(0, len(encounters), _AT_ONCE):
        chosen = databases.one_of(table.c.encounter_id, encounters[start : start + _AT_ONCE])
        count += connection.execute(sa.delete(table).where(chosen)).rowcount
    return count


def _erase_logged(
    settings: DataSettings, keys: tuple[bytes, ...], inputs: frozenset[str], request_ids: frozenset[str]
) -> tuple[int, int]:
    if settings.prediction_log_url is None:
        raise ErasureError("READMISSION_PREDICTION_LOG_URL is not set: the predictions would remain")
    with databases.engine(settings.prediction_log_url) as engine:
        return predictions.erase(engine, keys, inputs, request_ids)
