"""The model's input schema (`GET /model/schema`): all that the pages know of a patient's fields.

Nothing here names a field. A model with other fields, levels or groups is drawn from its own schema.
"""

import hashlib
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from pydantic import BaseModel, ConfigDict, field_validator
from pydantic import Field as Described

from readmission_ui.errors import SchemaTooNewError

MAJOR_VERSION: Final = "1"

Value = str | int | float | None
"""A field's value in a request; None where nothing was filled in."""

Patient = dict[str, str | int | float]
"""The body of a request: what was filled in, by field name."""

Translated = dict[str, str]
"""One text by language code."""


class Part(BaseModel):
    """What every part of a schema has in common: what a later 1.x adds is ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")


def say(text: Translated, language: str, otherwise: str) -> str:
    """Return a text in the language, else in English, else in any, else `otherwise`."""
    return text.get(language) or text.get("en") or next(iter(text.values()), otherwise)


class Level(Part):
    """One level of a category."""

    value: str
    label: Translated = {}


class Group(Part):
    """A group of fields, as people think of them."""

    name: str
    label: Translated = {}


class Field(Part):
    """One field of a patient.

    `kind` is `category`, `integer` or `icd9`; a kind that these pages do not know is asked for as text.
    `absent` is what the model takes an empty field for; `used` tells whether it looks at the field at all.
    """

    name: str
    kind: str
    group: str = ""
    required: bool = True
    absent: str | int | float | None = None
    used: bool = True
    label: Translated = {}
    help: Translated = {}
    unit: Translated = {}
    levels: tuple[Level, ...] = ()
    minimum: int | float | None = None
    maximum: int | float | None = None
    pattern: str | None = None
    reference: str | int | float | None = None

    @property
    def numeric(self) -> bool:
        """Whether the field holds a number."""
        return self.kind in {"integer", "number"}

    @property
    def shape(self) -> str:
        """A digest of what the field can hold: it stays when only the words around the field change."""
        holds = repr((self.kind, [level.value for level in self.levels], self.minimum, self.maximum))
        return hashlib.sha256(holds.encode()).hexdigest()[:8]

    def title(self, language: str) -> str:
        """Return the field's label, or its name where the schema has none."""
        return say(self.label, language, self.name)

    def measure(self, language: str) -> str:
        """Return the unit's word, or nothing where the label has it already, as in "Outpatient visits"."""
        unit = say(self.unit, language, "")
        return "" if unit.casefold() in self.title(language).casefold() else unit

    def options(self) -> list[str]:
        """Return a category's values; the absent one first where it is not a level itself."""
        values = [level.value for level in self.levels]
        if not self.required and self.absent is not None and self.absent not in values:
            return [str(self.absent), *values]
        return values


class Example(Part):
    """A made-up patient to start from."""

    name: Translated
    patient: dict[str, str | int | float | None]


class Missing(Part):
    """How a value that is not known is spelled, and how people say it."""

    value: str = "?"
    label: Translated = {}


class DiagnosisGroups(Part):
    """The groups of ICD-9 codes that the model knows: `codes` maps what stands before a code's point."""

    labels: dict[str, Translated] = {}
    codes: dict[str, str] = {}

    def group_of(self, code: str, language: str) -> str | None:
        """Return the name of the group a code belongs to, None where it belongs to none of them."""
        group = self.codes.get(code.partition(".")[0])
        return None if group is None else say(self.labels.get(group, {}), language, group)


class Scores(Part):
    """The risks of past patients: 101 quantiles, 0 to 100 %, ascending, each from 0 to 1."""

    quantiles: tuple[float, ...] = Described(min_length=2)

    def standing(self, risk: float) -> float:
        """Return the share of past patients whose risk was lower, from 0 to 1."""
        shares = np.linspace(0.0, 1.0, len(self.quantiles))
        return float(np.interp(risk, self.quantiles, shares))

    def histogram(self, top: float, bins: int) -> list[float]:
        """Return the share of past patients in each of `bins` equal steps from 0 to `top`."""
        shares = np.linspace(0.0, 1.0, len(self.quantiles))
        edges = np.linspace(0.0, top, bins + 1)
        below = np.interp(edges, self.quantiles, shares, left=0.0, right=1.0)
        return [float(share) for share in np.diff(below)]


class Exclusion(Part):
    """Patients whom the model must not score: those with one of `levels` in `field`."""

    field: str
    levels: tuple[str, ...] = ()
    reason: Translated = {}


class Cohort(Part):
    """The rules of the cohort that the model was trained on."""

    exclusions: tuple[Exclusion, ...] = ()


class Schema(Part):
    """The whole of what a model asks for."""

    schema_version: str
    groups: tuple[Group, ...] = ()
    fields: tuple[Field, ...]
    threshold: float
    missing: Missing = Missing()
    icd9_groups: DiagnosisGroups = DiagnosisGroups()
    scores: Scores | None = None
    examples: tuple[Example, ...] = ()
    cohort: Cohort = Cohort()

    @field_validator("cohort", mode="before")
    @classmethod
    def _no_cohort(cls, value: object) -> object:
        return Cohort() if value is None else value

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> "Schema":
        """Read a schema as the API hands it out.

        Raises SchemaTooNewError where its major version is not one that these pages draw, and pydantic's
        ValidationError where it is no schema.
        """
        version = str(document.get("schema_version", ""))
        if version.partition(".")[0] != MAJOR_VERSION:
            raise SchemaTooNewError(
                f"the model's schema has version {version!r}; these pages draw {MAJOR_VERSION}.x"
            )
        return cls.model_validate(document)

    def field(self, name: str) -> Field | None:
        """Return the field of that name, if there is one."""
        return next((field for field in self.fields if field.name == name), None)

    def shown(self, field: Field, value: Value, language: str) -> str:
        """Return a value as people say it: a level's label, a number with its unit, a code with its group."""
        labels = {level.value: say(level.label, language, level.value) for level in field.levels}
        if value is None:
            value = field.absent
        if str(value) in labels:
            return labels[str(value)]
        if value is None or value == self.missing.value:
            return say(self.missing.label, language, self.missing.value)
        if field.kind == "icd9":
            group = self.icd9_groups.group_of(str(value), language)
            return f"{value} · {group}" if group else str(value)
        return f"{value} {field.measure(language)}".strip()

    def grouped(self) -> list[tuple[Group, list[Field]]]:
        """Return the groups that have fields, in the schema's order; strays come last."""
        known = {group.name for group in self.groups}
        strays = dict.fromkeys(field.group for field in self.fields if field.group not in known)
        groups = [*self.groups, *(Group(name=name) for name in strays)]
        of_group = [
            (group, [field for field in self.fields if field.group == group.name]) for group in groups
        ]
        return [(group, fields) for group, fields in of_group if fields]
