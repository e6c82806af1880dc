"""The outcomes of patients, and the quality of the predictions."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import msgspec
import numpy as np
from sqlalchemy import Connection, Engine, Row, Select, and_, delete, func, insert, select
from sqlalchemy.exc import SQLAlchemyError

from readmission_api.errors import PredictionLogError
from readmission_api.prediction_log.tables import OUTCOMES, PREDICTIONS, create_tables
from readmission_api.predictor.predictor import ModelVersion

_LATEST: Final = 50_000
_IDS_A_QUERY: Final = 500


class Outcome(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether the patient of a prediction was readmitted within 30 days.

    `number` is the prediction's place in its request: 0 for a single patient, the index in a JSON list, the
    row of a CSV file.
    """

    request_id: Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9._-]{1,64}\Z")]
    readmitted: bool
    number: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)] = 0


def record(engine: Engine, outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Store outcomes; a later one replaces an earlier one.

    Return the stored ones, which are those that belong to a prediction. Raise `PredictionLogError`. Blocks.
    """
    latest = {(outcome.request_id, outcome.number): outcome for outcome in outcomes}
    try:
        create_tables(engine)
        with engine.begin() as connection:
            known = _known(connection, list(latest))
            now = datetime.now(UTC).replace(tzinfo=None)
            rows = [
                {
                    "request_id": request_id,
                    "number": number,
                    "readmitted": outcome.readmitted,
                    "received_at": now,
                }
                for (request_id, number), outcome in latest.items()
                if (request_id, number) in known
            ]
            for row in rows:
                connection.execute(
                    delete(OUTCOMES).where(
                        and_(OUTCOMES.c.request_id == row["request_id"], OUTCOMES.c.number == row["number"])
                    )
                )
            if rows:
                connection.execute(insert(OUTCOMES), rows)
    except (SQLAlchemyError, OSError) as error:
        raise PredictionLogError(
            f"the prediction log can't be written now ({type(error).__name__})"
        ) from error
    return [outcome for key, outcome in latest.items() if key in known]


def _known(connection: Connection, keys: list[tuple[str, int]]) -> set[tuple[str, int]]:
    ids = sorted({request_id for request_id, _ in keys})
    known: set[tuple[str, int]] = set()
    for start in range(0, len(ids), _IDS_A_QUERY):
        part = ids[start : start + _IDS_A_QUERY]
        found = connection.execute(
            select(PREDICTIONS.c.request_id, PREDICTIONS.c.number).where(PREDICTIONS.c.request_id.in_(part))
        )
        known.update((request_id, number) for request_id, number in found)
    return known


def newest(engine: Engine) -> tuple[int, datetime] | None:
    """Return the id of the newest outcome and when it came: an outcome stored later gives another pair.

    Raise `PredictionLogError` if the log cannot be read. Blocks.
    """
    query = select(OUTCOMES.c.id, OUTCOMES.c.received_at).order_by(OUTCOMES.c.id.desc()).limit(1)
    rows = _read(engine, query)
    return (rows[0].id, rows[0].received_at) if rows else None


def quality(engine: Engine, version: ModelVersion) -> tuple[float | None, int]:
    """Return the ROC AUC of a version (None while one class is missing) and its number of outcomes.

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
    return roc_auc(risks, readmitted), len(rows)


def _read(engine: Engine, query: Select[Any]) -> Sequence[Row[Any]]:
    try:
        create_tables(engine)
        with engine.connect() as connection:
            return connection.execute(query).all()
    except (SQLAlchemyError, OSError) as error:
        raise PredictionLogError(f"the prediction log can't be read now ({type(error).__name__})") from error


def roc_auc(risks: np.ndarray, readmitted: np.ndarray) -> float | None:
    """Return the share of pairs (readmitted, not) in which the readmitted one had the higher risk.

    Ties count half (the Mann-Whitney statistic). Return None if one of the classes is missing.
    """
    positives = int(readmitted.sum())
    negatives = len(readmitted) - positives
    if not positives or not negatives:
        return None
    _, inverse, counts = np.unique(risks, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks = (last - (counts - 1) / 2)[inverse]
    above = ranks[readmitted].sum() - positives * (positives + 1) / 2
    return float(above / (positives * negatives))
