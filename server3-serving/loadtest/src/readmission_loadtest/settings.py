"""The settings of the load test, read once when its process starts."""

from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class LoadTestSettings(BaseSettings):
    """The settings of the load test, in addition to Locust's own options.

    Each field is an environment variable with the prefix `READMISSION_LOADTEST_`, for example
    `READMISSION_LOADTEST_SEED`.
    """

    model_config = SettingsConfigDict(
        env_prefix="READMISSION_LOADTEST_", env_ignore_empty=True, frozen=True, hide_input_in_errors=True
    )

    patients: int = Field(default=5_000, ge=1, description="Patients to draw before the load starts")
    seed: int = Field(default=20140101, description="Seed of the patients")
    user_rate: float = Field(default=10, gt=0, description="Maximum requests per second of one user")
    batch_rows: int = Field(default=20, ge=1, description="Patients in one list of a ward")
    batch_share: float = Field(default=0.01, ge=0, le=1, description="Share of requests that are lists")
    explain_share: float = Field(
        default=0.002, ge=0, le=1, description="Share of requests that ask for an explanation"
    )

    token: SecretStr | None = Field(
        default=None,
        description="The load test's own token of the API; unset: an API that is open needs none",
    )

    first_users: int = Field(default=20, ge=1, description="Users of the first step of a capacity search")
    most_users: int = Field(default=5_000, ge=1, description="Maximum users of a capacity search")
    growth: float = Field(default=1.5, gt=1, description="Factor by which the users grow from step to step")
    refinements: int = Field(
        default=3, ge=0, description="Steps between the last sustained load and the first that was not"
    )
    settle_seconds: float = Field(default=4, ge=1, description="Seconds at the start of a step, not measured")
    step_seconds: float = Field(default=10, ge=1, description="Seconds of a step that are measured")
    p95_limit_ms: float = Field(default=50, gt=0, description="Maximum 95th percentile of /predict")
    failure_limit: float = Field(default=0.001, ge=0, lt=1, description="Maximum share of failures")
    required_rate: float = Field(
        default=0, ge=0, description="Requests per second below which a search exits with 1"
    )
    report: Path = Field(
        default=Path("capacity"), description="Path without suffix: .json, .md and .png are written"
    )

    web_user: str | None = Field(default=None, description="User of the web pages, with --web-login")
    web_password: SecretStr | None = Field(default=None, description="Password of that user")

    @model_validator(mode="after")
    def _shares_leave_room(self) -> Self:
        if self.batch_share + self.explain_share > 1:
            raise ValueError("batch_share and explain_share add up to more than 1")
        return self
