"""What became of the patients, and how good the predictions were."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Final

import msgspec
import numpy as np
from sqlalchemy import Connection, Engine, and_, delete, func, insert, select
from sqlalchemy.exc import SQLAlchemyError

from readmission_api.errors import PredictionLogError
from readmission_api.prediction_log.tables import OUTCOMES, PREDICTIONS, create_tables

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
    """Store outcomes, a later one in place of an earlier one.

    Returns those that belong to a prediction, which are the stored ones; raises `PredictionLogError`. Blocks.
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


def quality(engine: Engine) -> tuple[float | None, int]:
    """Return the ROC AUC over the latest outcomes, None while one class is missing, and their number.

    Raises `PredictionLogError`. Blocks.
    """
    # A client that uses a request id twice has two predictions of that name: the later one counts.
    same = PREDICTIONS.alias()
    last = (
        select(func.max(same.c.id))
        .where(and_(same.c.request_id == OUTCOMES.c.request_id, same.c.number == OUTCOMES.c.number))
        .correlate(OUTCOMES)
        .scalar_subquery()
    )
    query = (
        select(PREDICTIONS.c.probability, OUTCOMES.c.readmitted)
        .select_from(OUTCOMES)
        .join(PREDICTIONS, PREDICTIONS.c.id == last)
        .order_by(OUTCOMES.c.id.desc())
        .limit(_LATEST)
    )
    try:
        create_tables(engine)
        with engine.connect() as connection:
            rows = connection.execute(query).all()
    except (SQLAlchemyError, OSError) as error:
        raise PredictionLogError(f"the prediction log can't be read now ({type(error).__name__})") from error
    risks = np.array([row[0] for row in rows])
    readmitted = np.array([row[1] for row in rows], dtype=bool)
    return roc_auc(risks, readmitted), len(rows)


def roc_auc(risks: np.ndarray, readmitted: np.ndarray) -> float | None:
    """Return the share of pairs (readmitted, not) in which the readmitted one had the higher risk.

    Ties count half (the Mann-Whitney statistic); None where one of the classes is missing.
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
