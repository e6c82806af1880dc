"""Read the prediction log of server 3; `docs/contracts/prediction_log.sql` describes its tables."""

import json
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
import sqlalchemy as sa

from readmission_data import databases
from readmission_data.errors import DatabaseError, MonitoringError
from readmission_data.settings import NotebookSettings

PREDICTIONS: Final = sa.table(
    "predictions",
    sa.column("id", sa.BigInteger),
    sa.column("request_id", sa.String),
    sa.column("number", sa.Integer),
    sa.column("predicted_at", sa.DateTime),
    sa.column("model", sa.String),
    sa.column("version", sa.String),
    sa.column("probability", sa.Double),
    sa.column("class", sa.SmallInteger),
    sa.column("inputs", sa.Text),
)
OUTCOMES: Final = sa.table(
    "outcomes",
    sa.column("id", sa.BigInteger),
    sa.column("request_id", sa.String),
    sa.column("number", sa.Integer),
    sa.column("readmitted", sa.Boolean),
    sa.column("received_at", sa.DateTime),
)
OUTCOME_CORRECTIONS: Final = sa.table(
    "outcome_corrections",
    sa.column("id", sa.BigInteger),
    sa.column("request_id", sa.String),
    sa.column("number", sa.Integer),
    sa.column("received_at", sa.DateTime),
)

_NAME: Final = ["request_id", "number"]


@dataclass(frozen=True)
class PredictionLog:
    """The latest predictions of one model, oldest first, and their outcomes.

    predictions: a frame [n] of id, request_id, number, predicted_at (UTC), version, probability, class (0 or
    1), and readmitted (1.0 or 0.0, NaN while no outcome is known). inputs: the fields as the model saw them,
    a frame [n, fields] in the same order.
    """

    predictions: pd.DataFrame
    inputs: pd.DataFrame

    def of_version(self, version: str) -> "PredictionLog":
        """Return the predictions of one version."""
        rows = (self.predictions["version"] == version).to_numpy()
        return PredictionLog(
            self.predictions[rows].reset_index(drop=True), self.inputs[rows].reset_index(drop=True)
        )


def read(settings: NotebookSettings, model: str) -> PredictionLog:
    """Read the latest `monitored_rows` predictions of a model.

    Raise `MonitoringError` if no log is set, it cannot be read, or it has no prediction of the model.
    """
    if settings.prediction_log_url is None:
        raise MonitoringError(
            "READMISSION_PREDICTION_LOG_URL is not set: name the database of server 3's log"
        )
    latest = (
        sa.select(PREDICTIONS)
        .where(PREDICTIONS.c.model == model)
        .order_by(PREDICTIONS.c.id.desc())
        .limit(settings.monitored_rows)
    )
    try:
        with databases.engine(settings.prediction_log_url) as engine, engine.connect() as connection:
            predictions = _frame(connection, latest).sort_values("id", ignore_index=True)
            outcomes = _frame(connection, sa.select(OUTCOMES))
    except DatabaseError as error:
        raise MonitoringError(
            f"the prediction log cannot be read ({error}); check that READMISSION_PREDICTION_LOG_URL names "
            "server 3's log and that the API has answered requests"
        ) from error
    if predictions.empty:
        raise MonitoringError(f"the prediction log has no predictions of {model}")
    inputs = pd.DataFrame([json.loads(line) for line in predictions.pop("inputs")])
    return PredictionLog(_with_outcomes(predictions.drop(columns="model"), outcomes), inputs)


def _frame(connection: sa.Connection, query: sa.Select[tuple[object, ...]]) -> pd.DataFrame:
    result = connection.execute(query)
    return pd.DataFrame(result.all(), columns=list(result.keys()))


def _with_outcomes(predictions: pd.DataFrame, outcomes: pd.DataFrame) -> pd.DataFrame:
    # If a client uses a request id twice, the later prediction counts.
    last = ~predictions.duplicated(_NAME, keep="last")
    joined = predictions.merge(outcomes[[*_NAME, "readmitted"]], on=_NAME, how="left", validate="many_to_one")
    readmitted = joined["readmitted"].astype("float64")
    return joined.assign(readmitted=readmitted.where(last.to_numpy(), np.nan))
