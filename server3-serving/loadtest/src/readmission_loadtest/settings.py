"""The settings of the load test, read once when its process starts."""

from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class LoadTestSettings(BaseSettings):
    """What the load test can be told beside Locust's own options.

    Each field is an environment variable with the prefix `READMISSION_LOADTEST_`, for example
    `READMISSION_LOADTEST_SEED`.
    """

    model_config = SettingsConfigDict(
        env_prefix="READMISSION_LOADTEST_", env_ignore_empty=True, frozen=True, hide_input_in_errors=True
    )

    patients: int = Field(default=5_000, ge=1, description="Patients that are drawn before the load begins")
    seed: int = Field(default=20140101, description="Seed of the patients")
    user_rate: float = Field(default=10, gt=0, description="Requests that one user sends in a second at most")
    batch_rows: int = Field(default=20, ge=1, description="Patients in one request of a ward")
    batch_share: float = Field(default=0.01, ge=0, le=1, description="Share of requests that are a ward's")
    explain_share: float = Field(
        default=0.002, ge=0, le=1, description="Share of requests that ask for an explanation"
    )

    first_users: int = Field(default=20, ge=1, description="Users of the first step of a capacity search")
    most_users: int = Field(default=5_000, ge=1, description="Users past which a search does not go")
    growth: float = Field(default=1.5, gt=1, description="Times the users of one step that the next one has")
    refinements: int = Field(
        default=3, ge=0, description="Steps between the last load held and the first one that was not"
    )
    settle_seconds: float = Field(default=4, ge=1, description="Time of a step that is not measured")
    step_seconds: float = Field(default=10, ge=1, description="Time of a step that is measured")
    p95_limit_ms: float = Field(default=50, gt=0, description="95th percentile of /predict that still holds")
    failure_limit: float = Field(default=0.001, ge=0, lt=1, description="Share of failures that still holds")
    required_rate: float = Field(
        default=0, ge=0, description="Requests a second that must be held; below it a search exits with 1"
    )
    report: Path = Field(
        default=Path("capacity"), description="Path without ending: .json, .md and .png are written"
    )

    web_user: str | None = Field(default=None, description="Who may open the web pages, with --web-login")
    web_password: SecretStr | None = Field(default=None, description="Password of that user")

    @model_validator(mode="after")
    def _shares_leave_room(self) -> Self:
        if self.batch_share + self.explain_share > 1:
            raise ValueError("batch_share and explain_share are more than all requests together")
        return self
