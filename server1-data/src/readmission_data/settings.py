"""The settings of server 1, read once when a process starts."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class DataSettings(BaseSettings):
    """The settings of a loader, a DAG task or a command of server 1.

    Each field is an environment variable with the prefix `READMISSION_`, for example `READMISSION_RAW_URL`.
    Databases and files default to the folder `state` in the working directory.
    """

    model_config = SettingsConfigDict(env_prefix="READMISSION_", env_ignore_empty=True, frozen=True)

    dataset: str | None = Field(default=None, description="Path or URL of the data set, a zip or a csv")
    dataset_sha256: str | None = Field(
        default=None,
        pattern=r"^[0-9a-f]{64}$",
        description="SHA-256 that the CSV must have, whatever its origin",
    )
    allow_synthetic: bool = Field(
        default=False, description="Fall back to a generated sample if no data set is found"
    )
    cache_dir: Path = Field(default=Path(".cache"), description="Folder for downloaded and generated files")

    source: Literal["file", "feed"] = Field(default="file", description="Where batches come from")
    feed_url: str | None = Field(default=None, description="Address of the HTTP feed, if source is `feed`")
    feed_token: SecretStr | None = Field(default=None, description="Bearer token of the feed")

    raw_url: SecretStr = Field(
        default=SecretStr("sqlite:///state/raw.db"), description="SQLAlchemy URL of RawData"
    )
    clean_url: SecretStr = Field(
        default=SecretStr("sqlite:///state/clean.db"), description="SQLAlchemy URL of CleanData"
    )
    staging_dir: Path = Field(
        default=Path("state/staging"), description="Folder that the tasks of one DAG run share"
    )

    batch_size: int = Field(default=15_000, gt=0, description="Train rows that one load brings")
    all_batches: bool = Field(default=False, description="Let one run of the load DAG bring the whole source")
    split_salt: str = Field(
        default="readmission-1", min_length=1, description="Salt of the split's hash; never change it"
    )

    flagged_fraction: float = Field(
        default=0.10, gt=0, lt=1, description="Share of validation risk above the threshold"
    )
    threshold: float | None = Field(
        default=None, gt=0, lt=1, description="A threshold that overrides flagged_fraction"
    )
    search_trials: int = Field(default=4, ge=1, description="Settings tried for each candidate")
    candidates: tuple[str, ...] = Field(
        default=(), description="Candidates to train, as a JSON list; empty: all"
    )
    bootstrap_samples: int = Field(default=1_000, ge=100, description="Resamples behind an interval")
    seed: int = Field(default=20140101, description="Seed of everything drawn at random")

    tracking_uri: str = Field(default="sqlite:///state/mlflow.db", description="MLflow tracking server")
    quality_report: Path | None = Field(
        default=None,
        description="Figures of the cross-validation script for your own data, for the model card",
    )
    git_commit: str | None = Field(
        default=None, description="Commit of this code, for processes outside a checkout"
    )

    prediction_log_url: SecretStr | None = Field(
        default=None,
        description="SQLAlchemy URL of server 3's prediction log, for those who monitor or erase",
    )
    erasure_key: SecretStr | None = Field(
        default=None,
        min_length=32,
        description="Keys of erased patients' tombstones, separated by commas; the first one makes new ones",
    )

    keep_predictions_days: int | None = Field(
        default=None, ge=1, description="Age at which predictions and outcomes are deleted; empty: never"
    )
    keep_rejected_days: int | None = Field(
        default=None,
        ge=1,
        description="Age of a batch at which its rejected rows are deleted; empty: never",
    )
    keep_raw_days: int | None = Field(
        default=None, ge=1, description="Age of a batch at which its encounters are deleted; empty: never"
    )


class NotebookSettings(DataSettings):
    """The settings that only notebooks have."""

    empty_databases: bool = Field(
        default=False, description="Empty RawData and CleanData before `01_load_raw_data` loads anything"
    )
    monitored_rows: int = Field(
        default=200_000, ge=1, description="Latest predictions that `04_monitoring` reads from the log"
    )
    monitored_periods: int = Field(
        default=8, ge=1, le=100, description="Parts of equal size that `04_monitoring` cuts the log into"
    )
