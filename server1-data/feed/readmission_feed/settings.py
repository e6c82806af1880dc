"""The settings of the feed, read once when the process starts."""

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class FeedSettings(BaseSettings):
    """The settings of the feed; each field is an environment variable with the prefix `FEED_`."""

    model_config = SettingsConfigDict(env_prefix="FEED_", env_ignore_empty=True, frozen=True)

    dataset: Path = Field(description="The csv to hand out, or a zip that holds it")
    token: SecretStr | None = Field(
        None, description="Bearer token that a client must send; unset: open to all"
    )
    host: str = Field("127.0.0.1", description="Address to listen on")
    port: int = Field(8300, ge=0, le=65535, description="Port to listen on")
    block_rows: int = Field(15_000, ge=1, le=100_000, description="Most rows that one answer holds")
