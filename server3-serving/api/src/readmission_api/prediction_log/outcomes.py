"""The outcomes of patients, and the quality of the predictions."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

import msgspec
import numpy as np
from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Row,
    Select,
    Table,
    and_,
    bindparam,
    delete,
    func,
    insert,
    select,
)
from sqlalchemy.exc import SQLAlchemyError

from readmission_api.errors import PredictionLogError
from readmission_api.metrics.outcome_quality import Quality, measure
from readmission_api.prediction_log.tables import OUTCOME_CORRECTIONS, OUTCOMES, PREDICTIONS, create_tables
from readmission_api.predictor.predictor import ModelVersion

_LATEST: Final = 50_000
_IDS_A_QUERY: Final = 500


class Outcome(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether the patient of a prediction was readmitted within 30 days; None while it is not known.

    `number` is the prediction's place in its request: 0 for a single patient, the index in a JSON list, the
    row of a CSV file.
    """

    request_id: Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9._-]{1,64}\Z")]
    readmitted: bool | None
    number: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)] = 0


Status = Literal["recorded", "corrected", "unchanged", "pending", "unknown"]
"""What happened to an outcome that was sent.

`recorded` is the first one of its prediction, and `corrected` replaced another one. `unchanged` was stored
before; a known outcome does not become pending again. `pending` is not known yet, and `unknown` belongs to no
prediction.
"""

_Key = tuple[str, int]


@dataclass(frozen=True, slots=True)
class _Stored:
    """An outcome of the table, and when it came."""

    readmitted: bool
    received_at: datetime


def record(engine: Engine, outcomes: Sequence[Outcome], *, request_id: str) -> list[Status]:
    """Store outcomes in order, and return what happened to each.

    A correction keeps the outcome that it replaces in `outcome_corrections`, with the `request_id` of the
    request that sent it. Raise `PredictionLogError`. Blocks.
    """
    keys = {(outcome.request_id, outcome.number) for outcome in outcomes}
    now = datetime.now(UTC).replace(tzinfo=None)
    try:
        create_tables(engine)
        with engine.begin() as connection:
            predicted = {(row.request_id, row.number) for row in _find(connection, keys, PREDICTIONS)}
            stored = {
                (row.request_id, row.number): _Stored(bool(row.readmitted), row.received_at)
                for row in _find(connection, keys, OUTCOMES, OUTCOMES.c.readmitted, OUTCOMES.c.received_at)
            }
            before = dict(stored)
            replaced: list[tuple[_Key, _Stored, bool]] = []
            statuses = [_store(outcome, predicted, stored, replaced, now) for outcome in outcomes]
            _write(
                connection, before, {key: new for key, new in stored.items() if before.get(key) is not new}
            )
            if replaced:
                history = [
                    {
                        "request_id": key[0],
                        "number": key[1],
                        "readmitted_before": old.readmitted,
                        "received_before": old.received_at,
                        "readmitted": readmitted,
                        "received_at": now,
                        "corrected_by": request_id,
                    }
                    for key, old, readmitted in replaced
                ]
                connection.execute(insert(OUTCOME_CORRECTIONS), history)
    except (SQLAlchemyError, OSError) as error:
        raise PredictionLogError(
            f"the prediction log can't be written now ({type(error).__name__})"
        ) from error
    return statuses


def _store(
    outcome: Outcome,
    predicted: set[_Key],
    stored: dict[_Key, _Stored],
    replaced: list[tuple[_Key, _Stored, bool]],
    now: datetime,
) -> Status:
    """Put an outcome into `stored`, what it corrects into `replaced`, and return what happened to it."""
    key = (outcome.request_id, outcome.number)
    if key not in predicted:
        return "unknown"
    old, readmitted = stored.get(key), outcome.readmitted
    if readmitted is None:
        return "unchanged" if old else "pending"
    if old and old.readmitted == readmitted:
        return "unchanged"
    stored[key] = _Stored(readmitted, now)
    if old is None:
        return "recorded"
    replaced.append((key, old, readmitted))
    return "corrected"


def _write(connection: Connection, before: Collection[_Key], outcomes: Mapping[_Key, _Stored]) -> None:
    """Insert outcomes in place of those that were there before: a new id shows that something is new."""
    rows = [
        {
            "request_id": request_id,
            "number": number,
            "readmitted": outcome.readmitted,
            "received_at": outcome.received_at,
        }
        for (request_id, number), outcome in outcomes.items()
    ]
    old = [{"old_request": key[0], "old_number": key[1]} for key in outcomes if key in before]
    if old:
        same = and_(
            OUTCOMES.c.request_id == bindparam("old_request"), OUTCOMES.c.number == bindparam("old_number")
        )
        connection.execute(delete(OUTCOMES).where(same), old)
    if rows:
        connection.execute(insert(OUTCOMES), rows)


def _find(
    connection: Connection, keys: Collection[_Key], table: Table, *columns: Column[Any]
) -> list[Row[Any]]:
    """Return `request_id`, `number` and the columns of those rows of a table whose request is in the keys."""
    ids = sorted({request_id for request_id, _ in keys})
    found: list[Row[Any]] = []
    for start in range(0, len(ids), _IDS_A_QUERY):
        query = select(table.c.request_id, table.c.number, *columns)
        found += connection.execute(query.where(table.c.request_id.in_(ids[start : start + _IDS_A_QUERY])))
    return found


def newest(engine: Engine) -> tuple[int, datetime] | None:
    """Return the id of the newest outcome and when it came: an outcome stored later gives another pair.

    Raise `PredictionLogError` if the log cannot be read. Blocks.
    """
    query = select(OUTCOMES.c.id, OUTCOMES.c.received_at).order_by(OUTCOMES.c.id.desc()).limit(1)
    rows = _read(engine, query)
    return (rows[0].id, rows[0].received_at) if rows else None


def quality(engine: Engine, version: ModelVersion) -> Quality:
    """Return how good a version's risks were.

    Uses only those of the latest outcomes that belong to predictions of this version: outcomes of an older
    version say nothing about this one. Raise `PredictionLogError`. Blocks.
    """
    latest = select(OUTCOMES).order_by(OUTCOMES.c.id.desc()).limit(_LATEST).subquery()
    # If a client uses a request id twice, the later prediction counts.
    same = PREDICTIONS.alias()
    last = (
        select(func.max(same.c.id))
        .where(and_(same.c.request_id == latest.c.request_id, same.c.number == latest.c.number))
        .correlate(latest)
        .scalar_subquery()
    )
    query = (
        select(PREDICTIONS.c.probability, latest.c.readmitted)
        .select_from(latest)
        .join(PREDICTIONS, PREDICTIONS.c.id == last)
        .where(and_(PREDICTIONS.c.model == version.model, PREDICTIONS.c.version == version.version))
    )
    rows = _read(engine, query)
    risks = np.array([row.probability for row in rows])
    readmitted = np.array([row.readmitted for row in rows], dtype=bool)
    return measure(risks, readmitted)


def _read(engine: Engine, query: Select[Any]) -> Sequence[Row[Any]]:
    try:
        create_tables(engine)
        with engine.connect() as connection:
            return connection.execute(query).all()
    except (SQLAlchemyError, OSError) as error:
        raise PredictionLogError(f"the prediction log can't be read now ({type(error).__name__})") from error
