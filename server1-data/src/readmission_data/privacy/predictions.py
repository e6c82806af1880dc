"""The predictions of erased patients in server 3's log.

The log does not name patients. A prediction is a patient's if its fields are those of one of the patient's
encounters: nobody can tell predictions with the same fields apart.
"""

import json
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

import pandas as pd
import sqlalchemy as sa

from readmission_data import databases
from readmission_data.encounters import icd9_codes
from readmission_data.encounters.columns import MISSING, PREDICTORS, Column, Kind
from readmission_data.monitoring.prediction_log import OUTCOME_CORRECTIONS, OUTCOMES, PREDICTIONS
from readmission_data.raw.tombstones import Of, keyed_hash

_ROWS_AT_ONCE: Final = 5_000
_NAMES: Final = tuple(column.name for column in PREDICTORS)


def of_encounters(keys: Sequence[bytes], encounters: pd.DataFrame) -> set[str]:
    """Return the tombstones of the predictions that an encounters frame can lead to."""
    rows = encounters[list(_NAMES)].to_dict("records")
    return {_tombstones(keys[:1], {str(name): value for name, value in row.items()})[0] for row in rows}


def erase(
    engine: sa.Engine,
    keys: Sequence[bytes],
    tombstones: AbstractSet[str],
    request_ids: AbstractSet[str],
) -> tuple[int, int]:
    """Delete predictions by their fields or their request, and their outcomes; return how many of each.

    The whole log is read, a few thousand rows at a time, and each part is a separate transaction: a run that
    is killed starts again and handles the rest.
    """
    predictions = outcomes = 0
    if not sa.inspect(engine).has_table(PREDICTIONS.name):
        return 0, 0
    # A log of an earlier release has no corrections.
    corrected = sa.inspect(engine).has_table(OUTCOME_CORRECTIONS.name)
    log = PREDICTIONS.c
    for rows in databases.pages(engine, log.id, log.request_id, log.number, log.inputs, rows=_ROWS_AT_ONCE):
        found = [
            row
            for row in rows
            if row.request_id in request_ids
            or not tombstones.isdisjoint(_tombstones(keys, json.loads(row.inputs)))
        ]
        if not found:
            continue
        with engine.begin() as connection:
            # The outcomes first: without its prediction nobody could tell whose an outcome is.
            for row in found:
                same = (OUTCOMES.c.request_id == row.request_id) & (OUTCOMES.c.number == row.number)
                outcomes += connection.execute(sa.delete(OUTCOMES).where(same)).rowcount
                if corrected:
                    of_row = OUTCOME_CORRECTIONS.c.request_id == row.request_id
                    of_row &= OUTCOME_CORRECTIONS.c.number == row.number
                    connection.execute(sa.delete(OUTCOME_CORRECTIONS).where(of_row))
            chosen = PREDICTIONS.c.id.in_([row.id for row in found])
            predictions += connection.execute(sa.delete(PREDICTIONS).where(chosen)).rowcount
    return predictions, outcomes


def _tombstones(keys: Sequence[bytes], fields: Mapping[str, object]) -> list[str]:
    text = json.dumps([_text(column, fields.get(column.name)) for column in PREDICTORS])
    return [keyed_hash(key, Of.INPUTS, text) for key in keys]


def _text(column: Column, value: object) -> str:
    """Return one text for all forms of a value in the log and the tables."""
    if value is None or value != value:  # noqa: PLR0124 (NaN, which pandas may use for a missing text)
        return MISSING
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return icd9_codes.canonical(str(value)) if column.kind is Kind.ICD9 else str(value)
