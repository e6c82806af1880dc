"""Fill a prediction log with a registered version's real risks of patients of the test split."""

import json
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from readmission_data import databases
from readmission_data.model_version import sources
from readmission_data.model_version.contract import MODEL_NAME
from readmission_data.model_version.marginals import text
from readmission_data.raw.split import Split
from readmission_data.registry import aliases, versions
from readmission_data.settings import DataSettings
from readmission_data.tracking import connect

CONTRACT = Path(__file__).parents[4] / "docs" / "contracts" / "prediction_log.sql"
DAYS = 60
_BEGAN = datetime(2026, 1, 1, tzinfo=UTC).replace(tzinfo=None)
_ROWS_A_REQUEST = 5


def write_log(path: Path, settings: DataSettings, rows: int, *, shifted_from: float = 1.0) -> None:
    """Score `rows` patients over 60 days, with the outcomes of all but the last month.

    After the share `shifted_from`, all patients are older and have been in hospital more often.
    """
    client = connect(settings)
    number = aliases.current(client)["production"]
    version = versions.load(client, number)
    with databases.engine(settings.raw_url) as engine, engine.connect() as connection:
        encounters = sources.encounters(connection, Split.TEST)
    chosen = np.random.default_rng(1).integers(0, len(encounters.frame), rows)
    frame, labels = encounters.frame.iloc[chosen].reset_index(drop=True), encounters.labels[chosen]
    late = np.arange(rows) >= shifted_from * rows
    frame.loc[late, "age"] = "[80-90)"
    frame.loc[late, "number_inpatient"] = frame.loc[late, "number_inpatient"] + 2
    names = [field.name for field in version.schema.fields]
    kinds = {field.name: field.kind for field in version.schema.fields}
    spelled = pd.DataFrame(
        {name: frame[name] if kinds[name] == "integer" else text(frame[name]) for name in names}
    )
    risks = version.score(spelled)
    moments = [_BEGAN + timedelta(days=DAYS * place / rows) for place in range(rows)]
    with sqlite3.connect(path) as log:
        log.executescript(CONTRACT.read_text())
        log.executemany(
            "INSERT INTO predictions (request_id, number, predicted_at, model, version, probability, class, "
            "inputs) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    *_name(place), str(moments[place]), MODEL_NAME, number, float(risk),
                    int(risk >= version.schema.threshold), json.dumps(patient),
                )
                for place, (risk, patient) in enumerate(
                    zip(risks, spelled.to_dict("records"), strict=True)
                )
            ],
        )  # fmt: skip
        log.executemany(
            "INSERT INTO outcomes (request_id, number, readmitted, received_at) VALUES (?, ?, ?, ?)",
            [
                (*_name(place), bool(labels[place]), str(moments[place] + timedelta(days=30)))
                for place in range(rows // 2)
            ],
        )
    log.close()


def _name(place: int) -> tuple[str, int]:
    request, number = divmod(place, _ROWS_A_REQUEST)
    return f"request-{request}", number
