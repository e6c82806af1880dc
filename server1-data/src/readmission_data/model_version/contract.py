"""The shape of `input_schema.json`, `golden_rows.json` and `manifest.json`.

Server 3 has its own reader. Both sides agree on `docs/contracts/input_schema.schema.json`, the JSON Schema of
these models.
"""

from datetime import datetime
from itertools import pairwise
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

SCHEMA_VERSION: Final = "1.1"
"""Major.minor. A reader accepts every minor version of a major version that it knows."""

MODEL_NAME: Final = "best_diabetes_readmission_model"
"""The registered model of every version."""

MODEL_FILE: Final = "model.onnx"
SCHEMA_FILE: Final = "input_schema.json"
GOLDEN_FILE: Final = "golden_rows.json"
CARD_FILE: Final = "model_card.md"
MANIFEST_FILE: Final = "manifest.json"

MANIFEST_TAG: Final = "manifest_sha256"
"""Tag of a version: the SHA-256 of its manifest."""

TRAINING_RUN: Final = "training_run"
"""Tag of a version: the parent run of the training that produced it."""

_SHARE_ERROR: Final = 1e-6

Share = Annotated[float, Field(ge=0, le=1)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Words(_Part):
    """The same text in English and in Spanish."""

    en: str = Field(min_length=1)
    es: str = Field(min_length=1)


class Level(_Part):
    """One value of a category, written as in the CSV."""

    value: str
    label: Words


class Group(_Part):
    """A group of fields in a form."""

    name: str
    label: Words


def _check_shares(shares: list[float]) -> None:
    if abs(sum(shares) - 1) > _SHARE_ERROR:
        raise ValueError("shares must add up to 1")


class LevelShares(_Part):
    """Share of each level in the train split; `?` is a missing value."""

    levels: dict[str, Share]

    @model_validator(mode="after")
    def _add_up(self) -> Self:
        _check_shares(list(self.levels.values()))
        return self


class GroupShares(_Part):
    """Share of each group of diagnoses in the train split; `?` is a missing code."""

    groups: dict[str, Share]

    @model_validator(mode="after")
    def _add_up(self) -> Self:
        _check_shares(list(self.groups.values()))
        return self


class Histogram(_Part):
    """Shares of the train split between ascending inner edges.

    Bin i contains the values v with edges[i-1] <= v < edges[i]; the first and the last bin are open.
    """

    edges: list[float]
    shares: list[Share]

    @model_validator(mode="after")
    def _fit(self) -> Self:
        if len(self.shares) != len(self.edges) + 1:
            raise ValueError("a histogram must have one more share than inner edges")
        if any(low >= high for low, high in pairwise(self.edges)):
            raise ValueError("edges must ascend")
        _check_shares(self.shares)
        return self


class _Field(_Part):
    name: str
    group: str
    required: bool = Field(description="A request must carry it")
    absent: str | None = Field(description="The default if a request omits the field")
    used: bool = Field(description="The graph takes it; the other fields are checked and logged only")
    label: Words
    help: Words

    @model_validator(mode="after")
    def _absent_if_optional(self) -> Self:
        if self.required != (self.absent is None):
            raise ValueError("an optional field needs a default, a required one must not have one")
        return self


class CategoryField(_Field):
    """A field whose value is one of its levels. If `absent` is `?`, a request may also send `?` or null."""

    kind: Literal["category"] = "category"
    levels: list[Level]
    reference: str = Field(description="The most frequent level in the train split")
    distribution: LevelShares


class IntegerField(_Field):
    """A count from `minimum` to `maximum`, inclusive."""

    kind: Literal["integer"] = "integer"
    minimum: int
    maximum: int
    unit: Words
    reference: int = Field(description="The median of the train split")
    distribution: Histogram


class Icd9Field(_Field):
    """An ICD-9-CM code that fully matches `pattern`; `?` or null if there is none."""

    kind: Literal["icd9"] = "icd9"
    pattern: str
    reference: str = Field(description="The most frequent code in the train split")
    distribution: GroupShares


AnyField = Annotated[CategoryField | IntegerField | Icd9Field, Field(discriminator="kind")]


class Icd9Groups(_Part):
    """The nine groups of Strack et al. 2014: `codes` maps the part of a code before the point to a group."""

    labels: dict[str, Words]
    codes: dict[str, str]

    @model_validator(mode="after")
    def _named(self) -> Self:
        if not set(self.codes.values()) <= set(self.labels):
            raise ValueError("a code belongs to a group without a label")
        return self


class Dataset(_Part):
    """The data that the model was trained on."""

    kind: Literal["uci", "own", "synthetic"]
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    synthetic: bool
    train_rows: int = Field(ge=0)
    batches: list[int]


class Graph(_Part):
    """The inputs of the ONNX graph.

    `numeric` names the columns of the float32 input [N, K], `categorical` those of the string input [N, M],
    `output` a float32 vector [N]: the risk of readmission within 30 days.
    """

    file: str
    numeric: list[str]
    categorical: list[str]
    output: str


class Interval(_Part):
    """A measure with its 95 % bootstrap interval, if one was computed."""

    value: float
    low: float | None = None
    high: float | None = None


class Scores(_Part):
    """The risk over the validation split: 101 quantiles (0 to 100 %) and a histogram."""

    quantiles: list[float] = Field(min_length=101, max_length=101)
    distribution: Histogram


class Example(_Part):
    """An invented patient to try the model with."""

    name: Words
    patient: dict[str, int | str]


class CohortExclusion(_Part):
    """Patients whom the model was not trained on and must not score."""

    field: str = Field(description="A category field")
    levels: list[str] = Field(min_length=1, description="Each of them excludes the patient")
    reason: Words = Field(description="One sentence to show with the refusal")


class Cohort(_Part):
    """The rules of the cohort that the model was trained on. Serving refuses whom they exclude."""

    version: str
    exclusions: list[CohortExclusion]


class Condition(_Part):
    """True if at least one of `fields` has one of `levels`."""

    fields: list[str] = Field(min_length=1, description="Category fields")
    levels: list[str] = Field(min_length=1)


class Contradiction(_Part):
    """Values that contradict each other. Serving warns but still answers."""

    when: list[Condition] = Field(min_length=1, description="All of them must be true")
    message: Words = Field(description="One sentence to show with the answer")


class Coverage(_Part):
    """How often the intervals agree with the outcomes, in one group of test patients."""

    column: str
    level: str
    encounters: int = Field(ge=0)
    share: Share = Field(description="Share of the group's patients whose tenth of risk agrees")


class RiskIntervals(_Part):
    """How far the share of patients who return may lie from a risk.

    At `risk[i]` the interval is `low[i]` to `high[i]`. Interpolate linearly in between; outside, use the
    nearest end.
    """

    level: float = Field(gt=0, lt=1, description="Confidence level, such as 0.95")
    risk: list[Share] = Field(min_length=2, description="Ascending")
    low: list[Share]
    high: list[Share]
    coverage: list[Coverage]

    @model_validator(mode="after")
    def _fit(self) -> Self:
        if not len(self.risk) == len(self.low) == len(self.high):
            raise ValueError("risk, low and high must have the same length")
        if any(low >= high for low, high in pairwise(self.risk)):
            raise ValueError("risks must ascend")
        if any(low > high for low, high in zip(self.low, self.high, strict=True)):
            raise ValueError("low must not exceed high")
        return self


class InputSchema(_Part):
    """Everything that server 3 knows about a model version, apart from its graph."""

    schema_version: str = Field(pattern=r"^\d+\.\d+$")
    model: str
    candidate: str
    created: datetime
    dataset: Dataset
    graph: Graph
    threshold: float = Field(gt=0, lt=1, description="A risk at or above it is flagged")
    flagged_fraction: Share = Field(description="Share of the validation split at or above the threshold")
    missing: Level = Field(description="The mark and the label of a missing value")
    groups: list[Group]
    fields: list[AnyField]
    icd9_groups: Icd9Groups
    scores: Scores
    metrics: dict[str, dict[str, Interval]]
    examples: list[Example]
    # Since 1.1; versions that were registered earlier have none of them.
    cohort: Cohort | None = Field(default=None, description="Whom the model may score")
    contradictions: list[Contradiction] = Field(default=[], description="Values to warn about")
    intervals: RiskIntervals | None = Field(default=None, description="Uncertainty of one risk")

    @model_validator(mode="after")
    def _graph_matches_fields(self) -> Self:
        kinds = {field.name: field.kind for field in self.fields}
        used = {field.name for field in self.fields if field.used}
        taken = [*self.graph.numeric, *self.graph.categorical]
        if set(taken) != used or len(set(taken)) != len(taken):
            raise ValueError("the graph's columns differ from the fields marked as used")
        if any(kinds[name] != "integer" for name in self.graph.numeric):
            raise ValueError("a numeric column of the graph is not an integer field")
        if any(kinds[name] == "integer" for name in self.graph.categorical):
            raise ValueError("a categorical column of the graph is an integer field")
        if any(set(example.patient) != set(kinds) for example in self.examples):
            raise ValueError("an example patient must have each field exactly once")
        return self

    @model_validator(mode="after")
    def _rules_match_fields(self) -> Self:
        known = {
            field.name: {level.value for level in field.levels}
            for field in self.fields
            if field.kind == "category"
        }
        exclusions = self.cohort.exclusions if self.cohort else []
        rules = [([rule.field], rule.levels) for rule in exclusions]
        rules += [(rule.fields, rule.levels) for one in self.contradictions for rule in one.when]
        for names, levels in rules:
            for name in names:
                if not set(levels) <= known.get(name, set()):
                    raise ValueError(f"a rule names {name}, or levels of it, that are not in the schema")
        return self


class GoldenRow(_Part):
    """The inputs of the graph for one invented patient, and scikit-learn's probability for them."""

    numeric: list[float]
    categorical: list[str]
    probability: Share


class GoldenRows(_Part):
    """Rows that a server scores before it serves a version; no risk may differ by more than `tolerance`."""

    rows: list[GoldenRow] = Field(min_length=1)
    tolerance: float = Field(gt=0)
