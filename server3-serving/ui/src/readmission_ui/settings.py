"""The settings of the pages, read once when the process starts."""

from functools import cache
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

Language = Literal["en", "es"]


class UISettings(BaseSettings):
    """What the pages can be told.

    Each field is an environment variable with the prefix `READMISSION_UI_`: `READMISSION_UI_PORT` and so on.
    """

    model_config = SettingsConfigDict(env_prefix="READMISSION_UI_", frozen=True)

    address: str = Field(
        default="127.0.0.1", description="Address to listen on; loopback unless told otherwise"
    )
    port: int = Field(default=8501, ge=1, le=65535, description="Port to listen on")

    api_url: str = Field(default="http://127.0.0.1:8000", description="Address of the inference API")
    api_timeout: float = Field(default=10.0, gt=0, description="Seconds to wait for an answer of the API")
    client_token: SecretStr | None = Field(
        default=None, description="The pages' own token of the API; unset: an API that is open needs none"
    )
    token: SecretStr | None = Field(
        default=None, description="Token for reloading the model; if unset, the user types it in"
    )
    prometheus_url: str | None = Field(
        default=None, description="Address of Prometheus; unset: the pages keep the last hour themselves"
    )

    language: Literal["auto", "en", "es"] = Field(
        default="auto", description="First language; auto: the browser's"
    )
    refresh_seconds: float = Field(
        default=5.0, ge=1, description="Seconds between two looks at the API's state"
    )
    max_upload_mb: int = Field(
        default=50, ge=1, description="Largest CSV file that the batch tab takes, in MB"
    )


@cache
def load() -> UISettings:
    """Return the settings of this process."""
    return UISettings()
