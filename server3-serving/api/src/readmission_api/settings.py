"""The settings of the inference API, read once when its process starts."""

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class ApiSettings(BaseSettings):
    """What the inference API can be told.

    Each field is an environment variable with the prefix `READMISSION_API_`, for example
    `READMISSION_API_TRACKING_URI`.
    """

    model_config = SettingsConfigDict(env_prefix="READMISSION_API_", frozen=True)

    host: str = Field(default="127.0.0.1", description="Address to listen on")
    port: int = Field(default=8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one")
    workers: int = Field(default=1, ge=1, description="Processes that share the port, one a core")

    tracking_uri: str = Field(default="http://127.0.0.1:5000", description="MLflow tracking server")
    model_name: str = Field(default="best_diabetes_readmission_model", description="Registered model")
    alias: str = Field(default="production", description="Alias whose version answers")
    reload_seconds: float = Field(default=30, gt=0, description="Pause between two looks at the alias")
    registry_timeout_seconds: int = Field(
        default=10, gt=0, description="Patience with one call of the registry"
    )
    state_dir: Path = Field(
        default=Path(".demo/serving"), description="Folder for the verified copy of the model"
    )

    shadow: bool = Field(default=True, description="Score the challenger on the same patients, unseen")
    shadow_alias: str = Field(
        default="challenger", description="Alias of the version that is scored in the shadow"
    )

    shadow_rows_per_second: int = Field(
        default=1_000, ge=1, description="Patients a second that the challenger scores at most"
    )

    token: SecretStr | None = Field(default=None, description="Bearer token that guards reloads and outcomes")

    prediction_log_url: SecretStr | None = Field(
        default=None, description="SQLAlchemy URL of the prediction log"
    )
    prediction_log_buffer: int = Field(
        default=50_000, ge=1, description="Predictions that wait for the log at most"
    )

    max_patient_bytes: int = Field(default=64 * 1024, ge=1024, description="Longest body of one patient")
    max_batch_bytes: int = Field(
        default=8 * 1024 * 1024, ge=1024, description="Longest JSON list of patients"
    )
    max_batch_rows: int = Field(default=5_000, ge=1, description="Most patients in a JSON list")
    max_csv_bytes: int = Field(default=256 * 1024 * 1024, ge=1024, description="Longest CSV upload")
    body_timeout_seconds: float = Field(
        default=10, gt=0, description="Longest pause of a client that sends a body"
    )
    max_queue: int = Field(default=512, ge=1, description="Single patients that wait for the model at most")
    max_batches: int = Field(default=4, ge=1, description="Batches and explanations that run at once")
    max_batch_queue: int = Field(default=16, ge=0, description="Batches and explanations that wait at most")
    drain_seconds: int = Field(default=20, ge=0, description="Time for running requests to end after SIGTERM")

    drift_window: int = Field(
        default=5_000, ge=100, description="Latest patients that drift is measured over"
    )
    drift_minimum: int = Field(default=500, ge=1, description="Patients before which no drift is reported")
