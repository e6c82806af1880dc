"""`input_schema.json`: the fields of a patient that a model version takes."""

import math
from datetime import datetime
from itertools import pairwise
from typing import Any, Final, Literal

import msgspec

from readmission_api.errors import ModelRefusedError

SUPPORTED_MAJOR: Final = 1
"""This code does not know the meaning of schemas with another major version."""

MISSING: Final = "?"
"""The data set's mark of a missing value."""


class Level(msgspec.Struct, frozen=True):
    """One value that a category can take."""

    value: str
    label: dict[str, str] = {}


class Distribution(msgspec.Struct, frozen=True):
    """A field's distribution in training: shares by level, by ICD-9 group or between edges."""

    levels: dict[str, float] | None = None
    groups: dict[str, float] | None = None
    edges: tuple[float, ...] | None = None
    shares: tuple[float, ...] | None = None


class Field(msgspec.Struct, frozen=True):
    """One field of a patient."""

    name: str
    kind: Literal["integer", "category", "icd9"]
    required: bool
    reference: str | int
    absent: str | int | None = None
    used: bool = True
    minimum: int | None = None
    maximum: int | None = None
    levels: tuple[Level, ...] = ()
    pattern: str | None = None
    distribution: Distribution | None = None
    label: dict[str, str] = {}
    help: dict[str, str] = {}

    @property
    def allowed(self) -> Any:  # noqa: ANN401 - JSON
        """The allowed values, for an error response."""
        if self.kind == "integer":
            return {"minimum": self.minimum, "maximum": self.maximum}
        if self.kind == "icd9":
            return {"pattern": self.pattern}
        return [level.value for level in self.levels]

    @property
    def takes_missing(self) -> bool:
        """Whether `?` and null are accepted for an unknown value."""
        return self.absent == MISSING

    @property
    def whole_numbers(self) -> list[str]:
        """The levels that JSON may also contain as an integer: codes such as "1"."""
        values = [level.value for level in self.levels]
        return [value for value in values if value.isascii() and value.isdigit() and str(int(value)) == value]


class Graph(msgspec.Struct, frozen=True):
    """The ONNX file and the order of its two inputs' columns."""

    file: str
    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    output: str


class Dataset(msgspec.Struct, frozen=True):
    """The data that the model was trained on."""

    kind: str
    sha256: str = ""
    synthetic: bool = False
    train_rows: int | None = None
    batches: tuple[int | str, ...] = ()


class Example(msgspec.Struct, frozen=True):
    """A made-up patient for documentation and forms."""

    name: dict[str, str]
    patient: dict[str, Any]


class Icd9Groups(msgspec.Struct, frozen=True):
    """The group of each ICD-9 key, the part of a code before the dot. Keys not listed are `other`."""

    codes: dict[str, str] = {}

    def group(self, code: str) -> str:
        """Return the group of a code in the form of the data set."""
        return self.codes.get(code.partition(".")[0], "other")


class Exclusion(msgspec.Struct, frozen=True):
    """Patients whom the model must not score: those with one of `levels` in `field`."""

    field: str
    levels: tuple[str, ...]
    reason: dict[str, str]


class Cohort(msgspec.Struct, frozen=True):
    """The rules of the cohort that the model was trained on."""

    exclusions: tuple[Exclusion, ...] = ()


class Condition(msgspec.Struct, frozen=True):
    """True if at least one of `fields` has one of `levels`."""

    fields: tuple[str, ...]
    levels: tuple[str, ...]


class Contradiction(msgspec.Struct, frozen=True):
    """Values that do not fit together: all conditions are true. The answer carries the message."""

    when: tuple[Condition, ...]
    message: dict[str, str]


class RiskIntervals(msgspec.Struct, frozen=True):
    """How far the share of patients who return may lie from a risk.

    At `risk[i]` it is `low[i]` to `high[i]`, linear in between and constant outside.
    """

    level: float
    risk: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


class Scores(msgspec.Struct, frozen=True):
    """The model's risks on the validation split."""

    quantiles: tuple[float, ...] = ()
    distribution: Distribution | None = None


class InputSchema(msgspec.Struct, frozen=True):
    """The contract of one model version. Unknown keys are ignored."""

    schema_version: str
    model: str
    candidate: str
    created: str
    dataset: Dataset
    graph: Graph
    threshold: float
    fields: tuple[Field, ...]
    flagged_fraction: float | None = None
    icd9_groups: Icd9Groups = Icd9Groups()
    scores: Scores = Scores()
    metrics: dict[str, Any] = {}
    examples: tuple[Example, ...] = ()
    cohort: Cohort | None = None
    contradictions: tuple[Contradiction, ...] = ()
    intervals: RiskIntervals | None = None

    def test_roc_auc(self) -> dict[str, float]:
        """Return the test split's ROC AUC as `low`, `value` and `high`; NaN for missing figures."""
        split = self.metrics.get("test")
        metric = split.get("roc_auc") if isinstance(split, dict) else None
        found = metric if isinstance(metric, dict) else {}
        return {
            bound: float(found[bound]) if isinstance(found.get(bound), int | float) else math.nan
            for bound in ("low", "value", "high")
        }


class _Version(msgspec.Struct):
    schema_version: str


def parse(content: bytes) -> InputSchema:
    """Read a schema.

    Raise `ModelRefusedError` if it has another major version, can't be read or contradicts itself.
    """
    try:
        version = msgspec.json.decode(content, type=_Version).schema_version
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ModelRefusedError("schema", f"input_schema.json can't be read: {error}") from None
    if version.split(".")[0] != str(SUPPORTED_MAJOR):
        raise ModelRefusedError(
            "schema_major",
            f"input_schema.json is of version {version}; this server knows {SUPPORTED_MAJOR}.x",
        )
    try:
        schema = msgspec.json.decode(content, type=InputSchema)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ModelRefusedError("schema", f"input_schema.json can't be read: {error}") from None
    _check(schema)
    return schema


def _check(schema: InputSchema) -> None:
    by_name = {field.name: field for field in schema.fields}
    if len(by_name) != len(schema.fields):
        raise ModelRefusedError("schema", "input_schema.json names a field twice")
    for name in (*schema.graph.numeric, *schema.graph.categorical):
        if name not in by_name:
            raise ModelRefusedError("schema", f"the graph takes {name}, which is not a field of the schema")
    for name in schema.graph.numeric:
        if by_name[name].kind != "integer":
            raise ModelRefusedError("schema", f"the graph takes {name} as a number, the schema does not")
    for name in schema.graph.categorical:
        if by_name[name].kind == "integer":
            raise ModelRefusedError("schema", f"the graph takes {name} as a category, the schema does not")
    for field in schema.fields:
        _check_field(field)
    _check_cohort(schema)
    _check_intervals(schema.intervals)
    _check_created(schema.created)
    _check_bins("the risks", schema.scores.distribution)
    if not 0 < schema.threshold < 1:
        raise ModelRefusedError("schema", "the threshold is not between 0 and 1")


def _check_cohort(schema: InputSchema) -> None:
    names = {field.name for field in schema.fields}
    for exclusion in schema.cohort.exclusions if schema.cohort else ():
        if exclusion.field not in names:
            raise ModelRefusedError("schema", f"the cohort names {exclusion.field}, which is not a field")
    for contradiction in schema.contradictions:
        for name in (name for condition in contradiction.when for name in condition.fields):
            if name not in names:
                raise ModelRefusedError("schema", f"a contradiction names {name}, which is not a field")


def _check_intervals(intervals: RiskIntervals | None) -> None:
    if intervals is None:
        return
    risk, low, high = intervals.risk, intervals.low, intervals.high
    fits = len(risk) == len(low) == len(high) and len(risk) > 1
    if not fits or any(left >= right for left, right in pairwise(risk)):
        raise ModelRefusedError("schema", "the table of intervals is not one of ascending risks")
    if not all(0 <= bottom <= top <= 1 for bottom, top in zip(low, high, strict=True)):
        raise ModelRefusedError("schema", "an interval does not lie between 0 and 1")


def _check_created(created: str) -> None:
    try:
        datetime.fromisoformat(created)
    except ValueError:
        raise ModelRefusedError("schema", "the schema does not say when the model was trained") from None


def _check_field(field: Field) -> None:
    known = {
        "integer": field.minimum is not None and field.maximum is not None and field.minimum <= field.maximum,
        "category": bool(field.levels),
        "icd9": bool(field.pattern),
    }
    if not known[field.kind]:
        raise ModelRefusedError("schema", f"the schema does not say what {field.name} may be")
    _check_bins(field.name, field.distribution)
    if not field.required and field.absent is None:
        raise ModelRefusedError("schema", f"the schema has no default for a missing {field.name}")


def _check_bins(what: str, distribution: Distribution | None) -> None:
    if distribution is None or not distribution.edges or not distribution.shares:
        return
    if len(distribution.shares) != len(distribution.edges) + 1:
        raise ModelRefusedError("schema", f"the schema's bins of {what} do not fit their edges")
