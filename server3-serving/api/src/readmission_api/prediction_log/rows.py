"""Scored patients as rows of the table of predictions."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec
from sqlalchemy import Connection, insert

from readmission_api.prediction_log.tables import PREDICTIONS
from readmission_api.scored import Scored

ROWS_AT_ONCE: Final = 100
"""Rows per call of the driver: the caller pauses between two calls so that requests can run."""

LogRow = tuple[str, int, str, str, str, float, int, str]
"""request_id, number, predicted_at (UTC), model, version, probability, class, inputs (a JSON object)."""

_COLUMNS: Final = (
    "request_id",
    "number",
    "predicted_at",
    "model",
    "version",
    "probability",
    "class",
    "inputs",
)
_ENCODE: Final = msgspec.json.Encoder().encode


def rows_of(scored: Scored) -> Iterator[LogRow]:
    """Yield one row for each scored patient."""
    predictor = scored.predictor
    names, threshold = predictor.patients.names, predictor.threshold
    model, version = predictor.version.model, predictor.version.version
    at = datetime.fromtimestamp(scored.at, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    for request_id, number, row, risk in zip(
        scored.request_ids, scored.numbers, scored.rows, scored.risks, strict=True
    ):
        inputs = _ENCODE(dict(zip(names, row, strict=True))).decode()
        yield request_id, number, at, model, version, risk, int(risk >= threshold), inputs


def insert_rows(connection: Connection, rows: Sequence[LogRow]) -> None:
    """Insert rows with one call of the driver.

    Passes tuples directly to the driver: SQLAlchemy's insert of many rows takes 1.5 times as long.
    """
    statement = str(insert(PREDICTIONS).compile(connection.engine, column_keys=_COLUMNS))
    connection.exec_driver_sql(statement, list(rows))
