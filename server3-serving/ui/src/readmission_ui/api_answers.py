"""The API's answers, as these pages read them. What a newer API adds is ignored."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator


class Answer(BaseModel):
    """What every answer has in common: it is read, never changed."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Health(Answer):
    """`GET /health`: whether the API is ready, and why not."""

    ready: bool
    model: str = ""
    version: str | None = None
    reason: str | None = None
    source: str | None = None
    stale: bool = False
    prediction_log: str = "off"


class Dataset(Answer):
    """What a model was trained on: `uci`, `own` or `synthetic`."""

    kind: str = ""
    sha256: str = ""
    train_rows: int = 0
    batches: tuple[int, ...] = ()


class Estimate(Answer):
    """A quality measure with its 95 % interval."""

    value: float
    low: float | None = None
    high: float | None = None


class Challenger(Answer):
    """The version that is scored in the shadow."""

    version: str
    candidate: str | None = None


class Reload(Answer):
    """How the last look at the registry went."""

    last_result: str | None = None
    last_checked: datetime | None = None
    last_error: str | None = None


class Model(Answer):
    """`GET /model`: the version that answers now."""

    model: str
    version: str
    alias: str | None = None
    candidate: str | None = None
    created: datetime | None = None
    loaded_at: datetime | None = None
    source: str | None = None
    threshold: float
    flagged_fraction: float | None = None
    dataset: Dataset = Dataset()
    synthetic: bool
    metrics: dict[str, dict[str, Any]] = Field(default_factory=dict)
    challenger: Challenger | None = None
    reload: Reload = Reload()

    def test_metric(self, name: str) -> Estimate | None:
        """Return a measure over the test split, or None where the version does not tell it."""
        found = self.metrics.get("test", {}).get(name)
        return None if found is None else Estimate.model_validate(found)


class Prediction(Answer):
    """`POST /predict`: one patient's risk of readmission within 30 days, from 0 to 1."""

    request_id: str
    model: str
    version: str
    threshold: float
    probability: float
    flagged: bool = Field(alias="class")


class Problem(Answer):
    """One reason why the API refused a patient; never the value itself."""

    row: int | None = None
    field: str | None = None
    code: str = ""
    message: str = ""


class ScoredRow(Answer):
    """One line of the answer to a CSV: a risk, or what was wrong with the row.

    `row` counts from 1, the first row below the header. `error` is `field: message`, or a message alone, and
    `code` its stable word.
    """

    row: int
    probability: float | None = None
    flagged: bool | None = Field(default=None, alias="class")
    code: str = ""
    error: str = ""

    @field_validator("probability", "flagged", mode="before")
    @classmethod
    def _empty_is_none(cls, cell: object) -> object:
        return None if cell == "" else cell

    def problem(self) -> Problem:
        """Return what was wrong with the row, as the answers for one patient tell it."""
        field, separator, message = self.error.partition(": ")
        if not separator:
            return Problem(code=self.code, message=self.error)
        return Problem(field=field, code=self.code, message=message)


@dataclass(frozen=True)
class ScoredCsv:
    """`POST /predict_batch` with a CSV: one version answered all rows of one request."""

    version: str
    threshold: float
    rows: tuple[ScoredRow, ...]


class Contribution(Answer):
    """How far one field moved the risk from the reference patient's, in units of probability."""

    field: str
    contribution: float
    value_is_reference: bool = False


class Explanation(Answer):
    """`POST /explain`: contributions sum to `probability - reference_probability`."""

    version: str
    probability: float
    reference_probability: float
    contributions: tuple[Contribution, ...]


class Refusal(Answer):
    """The body of every error of the API."""

    code: str
    message: str
    problems: tuple[Problem, ...] = ()


class Reloaded(Answer):
    """`POST /reload_model`: `loaded` when another version came in, else `unchanged`."""

    result: str
    version: str
    previous: str | None = None
