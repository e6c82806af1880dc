"""The settings of the webhook, read once when its process starts."""

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class RetrainSettings(BaseSettings):
    """The settings of the webhook.

    Each field is an environment variable with the prefix `READMISSION_RETRAIN_`, for example
    `READMISSION_RETRAIN_AIRFLOW_URL`.
    """

    model_config = SettingsConfigDict(
        env_prefix="READMISSION_RETRAIN_", env_ignore_empty=True, frozen=True, hide_input_in_errors=True
    )

    host: str = Field(default="127.0.0.1", description="Address to listen on")
    port: int = Field(default=8095, ge=1, le=65535, description="Port to listen on")

    airflow_url: str = Field(default="http://127.0.0.1:8080", description="Address of Airflow's API server")
    airflow_user: str | None = Field(
        default=None, description="Airflow user that may start the DAG; unset: Airflow asks for no login"
    )
    airflow_password: SecretStr | None = Field(default=None, description="Password of that user")
    airflow_timeout_seconds: float = Field(default=10, gt=0, description="Time limit of one call of Airflow")
    dag: str = Field(default="train_and_register", min_length=1, description="DAG that an alert starts")

    cooldown_seconds: float = Field(
        default=21_600, ge=0, description="Time after a start in which no alert starts another run"
    )
    state: Path = Field(
        default=Path(".demo/retrain.json"), description="File that remembers the last run across restarts"
    )
