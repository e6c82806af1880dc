"""Shared parts of the three DAGs: the assets that connect them and the defaults of their tasks."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from airflow.sdk import Asset

RAW_BATCHES: Final = Asset("readmission_raw_batches", "readmission://raw/batches")
"""A batch was added to RawData."""

PROCESSED_TABLES: Final = Asset("readmission_processed_tables", "readmission://clean/processed")
"""The processed tables of CleanData were replaced."""

REGISTERED_MODEL: Final = Asset("readmission_registered_model", "readmission://models/registered")
"""A version of the model was registered and the aliases were moved."""

START: Final = datetime(2026, 1, 1, tzinfo=UTC)

TASK_DEFAULTS: Final[dict[str, Any]] = {
    "owner": "readmission-platform",
    "retries": 2,
    "retry_delay": timedelta(seconds=30),
    "retry_exponential_backoff": True,
    "max_retry_delay": timedelta(minutes=10),
    "execution_timeout": timedelta(hours=1),
}
