"""The settings of the inference API, read once when its process starts."""

from ipaddress import ip_address
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from readmission_api.logs import LogFormat

_LOG_DATABASES: Final = ("mysql+pymysql", "mariadb+pymysql", "sqlite")


class ApiSettings(BaseSettings):
    """The settings of the inference API.

    Each field is an environment variable with the prefix `READMISSION_API_`, for example
    `READMISSION_API_TRACKING_URI`.
    """

    model_config = SettingsConfigDict(env_prefix="READMISSION_API_", frozen=True)

    host: str = Field(default="127.0.0.1", description="Address to listen on")
    port: int = Field(default=8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one")
    workers: int = Field(default=1, ge=1, description="Processes that share the port, one per core")

    tracking_uri: str = Field(default="http://127.0.0.1:5000", description="MLflow tracking server")
    model_name: str = Field(
        default="best_diabetes_readmission_model", min_length=1, description="Registered model"
    )
    alias: str = Field(default="production", min_length=1, description="Alias of the version that serves")
    reload_seconds: float = Field(default=30, gt=0, description="Pause between two checks of the alias")
    registry_timeout_seconds: int = Field(
        default=10, gt=0, description="Time limit of one call of the registry"
    )
    state_dir: Path = Field(
        default=Path("/var/lib/readmission"), description="Folder for the verified copy of the model"
    )

    shadow: bool = Field(default=True, description="Score the challenger on the same patients in the shadow")
    shadow_alias: str = Field(
        default="challenger", min_length=1, description="Alias of the version that is scored in the shadow"
    )

    shadow_rows_per_second: int = Field(
        default=1_000, ge=1, description="Maximum patients per second that the challenger scores"
    )

    clients_file: Path | None = Field(
        default=None,
        description="JSON file of the clients with the SHA-256 of their bearer tokens; without it everybody "
        "may predict",
    )
    open: bool = Field(
        default=False, description="Allow a server without clients to listen beyond this machine"
    )
    token: SecretStr | None = Field(
        default=None, description="Bearer token of the operator, who may do everything"
    )
    metrics_token: SecretStr | None = Field(
        default=None, description="Bearer token that guards the metrics; may be the same one"
    )

    audit_url: SecretStr | None = Field(
        default=None, description="SQLAlchemy URL of the audit trail, whose user only inserts"
    )
    edge_key: SecretStr | None = Field(
        default=None, description="Key by which the edge proves that X-Forwarded-For is its own"
    )
    prediction_log_url: SecretStr | None = Field(
        default=None, description="SQLAlchemy URL of the prediction log"
    )
    prediction_log_buffer: int = Field(
        default=50_000, ge=1, description="Maximum predictions that wait for the log"
    )
    shared_files_url: str | None = Field(
        default=None,
        description="Address of the files that all pods share: the model's copy, and predictions that wait "
        "for the log; without it both end with the pod",
    )
    spool_bytes: int = Field(
        default=1024**3,
        ge=1,
        description="Maximum bytes of compressed predictions in the shared files",
    )

    max_patient_bytes: int = Field(default=64 * 1024, ge=1024, description="Longest body of one patient")
    max_batch_bytes: int = Field(
        default=8 * 1024 * 1024, ge=1024, description="Longest JSON list of patients"
    )
    max_batch_rows: int = Field(default=5_000, ge=1, description="Maximum patients in a JSON list")
    max_csv_bytes: int = Field(default=256 * 1024 * 1024, ge=1024, description="Longest CSV upload")
    max_upload_bytes: int = Field(
        default=1024 * 1024 * 1024, ge=1024, description="Disk space for CSV uploads that are being answered"
    )
    body_timeout_seconds: float = Field(
        default=10, gt=0, description="Time for a body to arrive, plus a second for each 16 KiB of it"
    )
    max_queue: int = Field(default=512, ge=1, description="Maximum single patients that wait for the model")
    max_batches: int = Field(default=4, ge=1, description="Batches that run at once")
    max_batch_queue: int = Field(default=16, ge=0, description="Maximum batches that wait")
    max_explanations: int = Field(default=2, ge=1, description="Explanations that run at once")
    max_explanation_queue: int = Field(default=16, ge=0, description="Maximum explanations that wait")
    log_format: LogFormat = Field(default="text", description="Log lines: text or json")
    drain_seconds: int = Field(default=20, ge=0, description="Time for running requests to end after SIGTERM")

    drift_window: int = Field(
        default=5_000, ge=100, description="Latest patients that drift is measured over"
    )
    drift_minimum: int = Field(default=500, ge=1, description="Patients before which no drift is reported")

    @field_validator("host")
    @classmethod
    def _check_host(cls, host: str) -> str:
        try:
            ip_address(host)
        except ValueError:
            if host != "localhost":
                raise ValueError(
                    "give an IP address of this machine, such as 127.0.0.1, or 0.0.0.0 for all of them"
                ) from None
        return host

    @field_validator("tracking_uri")
    @classmethod
    def _check_tracking_uri(cls, uri: str) -> str:
        try:
            parts = urlsplit(uri)
            usable = parts.scheme in {"http", "https"} and bool(parts.hostname)
            _ = parts.port
        except ValueError:
            usable = False
        if not usable:
            raise ValueError(
                "give the http or https address of an MLflow server, such as http://127.0.0.1:5000; "
                "a database or a folder can't be served from directly"
            )
        return uri

    @field_validator("shared_files_url")
    @classmethod
    def _check_shared_files_url(cls, url: str | None) -> str | None:
        if url is not None and (urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).hostname):
            raise ValueError(
                "give an http or https address, such as http://shared-files:8080, or leave it out"
            )
        return url

    @field_validator("token", "metrics_token")
    @classmethod
    def _check_token(cls, token: SecretStr | None) -> SecretStr | None:
        if token is not None and not token.get_secret_value().strip():
            raise ValueError("is empty; give a token, or leave the setting out to guard nothing")
        return token

    @field_validator("prediction_log_url", "audit_url")
    @classmethod
    def _check_prediction_log_url(cls, url: SecretStr | None) -> SecretStr | None:
        try:
            usable = url is None or make_url(url.get_secret_value()).drivername in _LOG_DATABASES
        except (ArgumentError, ValueError):
            usable = False
        if not usable:
            # The text is not repeated: it may hold a password.
            raise ValueError(
                "give mysql+pymysql://USER:PASSWORD@HOST:PORT/DATABASE or sqlite:///FILE, or leave it out"
            )
        return url

    @field_validator("drift_minimum")
    @classmethod
    def _check_drift_minimum(cls, minimum: int, others: ValidationInfo) -> int:
        window = others.data.get("drift_window", minimum)
        if minimum > window:
            raise ValueError(
                f"is above READMISSION_API_DRIFT_WINDOW ({window}): drift would never be reported"
            )
        return minimum
