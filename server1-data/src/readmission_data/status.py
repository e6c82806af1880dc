"""The state of the data and the models, which `status` prints and `make demo` waits for."""

import dataclasses
from typing import Any

import sqlalchemy as sa
from mlflow.exceptions import MlflowException

from readmission_data import databases, tracking
from readmission_data.clean import tables as clean_tables
from readmission_data.errors import TrackingError
from readmission_data.model_version.contract import MODEL_NAME
from readmission_data.raw import ledger
from readmission_data.raw import tables as raw_tables
from readmission_data.registry import pin
from readmission_data.settings import DataSettings

_REPORTED = ("roc_auc", "average_precision")


def status(settings: DataSettings) -> dict[str, Any]:
    """Return the state of RawData, CleanData and the newest model version, as values for JSON.

    `current` is true if the newest version was trained on every batch that RawData has, and its aliases
    are settled. Of a version that the gate has not judged yet, `gate` and `gate_reason` are None.
    """
    raw = _raw(settings)
    clean = _clean(settings)
    model = _newest_model(settings)
    current = bool(raw["batches"]) and raw["batches"] == clean["batches"] == model.get("batches")
    current = current and model["gate_settled"]
    return {"raw": raw, "clean": clean, "model": model, "current": current}


def _raw(settings: DataSettings) -> dict[str, Any]:
    with databases.engine(settings.raw_url) as engine, engine.connect() as connection:
        batches = ledger.batches(connection)
        if not batches:
            rows = {str(split): 0 for split in raw_tables.ENCOUNTERS}
            return {"rows": rows, "batches": [], "rejected": 0, "dataset": None, "patients_in_two_splits": 0}
        rows = {
            str(split): int(connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0)
            for split, table in raw_tables.ENCOUNTERS.items()
        }
        splits_of_patients = sa.union_all(
            *(sa.select(table.c.patient_nbr).distinct() for table in raw_tables.ENCOUNTERS.values())
        ).subquery()
        twice = (
            sa.select(splits_of_patients.c.patient_nbr)
            .group_by(splits_of_patients.c.patient_nbr)
            .having(sa.func.count() > 1)
            .subquery()
        )
        return {
            "rows": rows,
            "batches": [batch.batch for batch in batches],
            "rejected": sum(batch.rejected_rows for batch in batches),
            "dataset": batches[-1].dataset_kind,
            "patients_in_two_splits": int(
                connection.scalar(sa.select(sa.func.count()).select_from(twice)) or 0
            ),
        }


def _clean(settings: DataSettings) -> dict[str, Any]:
    with databases.engine(settings.clean_url) as engine, engine.connect() as connection:
        lineage = clean_tables.read_lineage(connection)
        if lineage is None:
            return {"batches": [], "features": 0}
        info = sa.table("feature_info")
        features = int(connection.scalar(sa.select(sa.func.count()).select_from(info)) or 0)
        return {"batches": list(lineage.batches), "features": features}


def _newest_model(settings: DataSettings) -> dict[str, Any]:
    client = tracking.connect(settings)
    try:
        versions = client.search_model_versions(
            f"name = '{MODEL_NAME}'", order_by=["version_number DESC"], max_results=1
        )
    except MlflowException as error:
        raise TrackingError(f"Unexpected response from MLflow: {error.error_code}") from error
    if not versions:
        return {"name": MODEL_NAME, "version": None}
    version = versions[0]
    aliases = client.get_registered_model(MODEL_NAME).aliases
    held = pin.read(client)
    metrics = client.get_run(str(version.run_id)).data.metrics
    return {
        "name": MODEL_NAME,
        "version": version.version,
        "candidate": version.tags["candidate"],
        # A registration writes these after it has created the version, so they may be missing if it died.
        "gate": version.tags.get("gate"),
        "gate_reason": version.tags.get("gate_reason"),
        "gate_settled": "gate_settled" in version.tags,
        "dataset": version.tags["dataset"],
        "batches": [int(batch) for batch in version.tags["batches"].split(",")],
        "pin": dataclasses.asdict(held) if held else None,
        "aliases": sorted(alias for alias, number in aliases.items() if str(number) == str(version.version)),
        "test": {
            name: {
                "value": metrics[f"test_{name}"],
                "low": metrics[f"test_{name}_low"],
                "high": metrics[f"test_{name}_high"],
            }
            for name in _REPORTED
        },
    }
