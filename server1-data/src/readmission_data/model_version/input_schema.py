"""Build `input_schema.json`: everything that server 3 knows about a model version besides its graph."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from readmission_data.encounters import labels
from readmission_data.encounters.columns import DRUGS, ICD9_PATTERN, MISSING, PREDICTORS, Column, Kind
from readmission_data.model_version import examples, marginals, rules
from readmission_data.model_version.contract import (
    MODEL_FILE,
    MODEL_NAME,
    SCHEMA_VERSION,
    AnyField,
    CategoryField,
    Dataset,
    Example,
    Graph,
    Group,
    Icd9Field,
    Icd9Groups,
    InputSchema,
    IntegerField,
    Interval,
    Level,
    RiskIntervals,
    Scores,
    Words,
)

OUTPUT: Final = "probability"

_NOT_MEASURED: Final = ("max_glu_serum", "A1Cresult")


@dataclass(frozen=True)
class Described:
    """The content of a schema for one model, besides the fields themselves.

    `validation_risk` [n] is the model's probability for each row of the validation split; `examples_risk` [3]
    that for each of `examples.PATIENTS`.
    """

    candidate: str
    created: datetime
    dataset: Dataset
    numeric: Sequence[str]
    categorical: Sequence[str]
    threshold: float
    validation_risk: npt.NDArray[np.floating]
    examples_risk: npt.NDArray[np.floating]
    metrics: Mapping[str, Mapping[str, Interval]]
    intervals: RiskIntervals | None = None


def _words(text: labels.Text) -> Words:
    return Words(en=text.en, es=text.es)


def _absent(column: Column) -> str | None:
    """Return the default of a column that a request omits, or None if the column is required."""
    if column.missing:
        return MISSING
    if column.name in _NOT_MEASURED:
        return "None"
    return "No" if column.name in DRUGS else None


def _mode(values: pd.Series) -> str:
    """Return the most frequent known value; ties go to the first in order, so that reruns agree.

    If no encounter has the field, as with payer_code in the first rows, return the mark of a missing value.
    """
    known = marginals.text(values)
    known = known[known != MISSING]
    return MISSING if known.empty else str(known.mode().iloc[0])


def field(column: Column, train: pd.Series, groups: Mapping[str, str], *, used: bool) -> AnyField:
    """Describe one predictor by its column, its labels and its values in the train split [n]."""
    words = labels.field(column.name)
    absent = _absent(column)
    about = {
        "name": column.name,
        "group": words.group,
        "required": absent is None,
        "absent": absent,
        "used": used,
        "label": _words(words.label),
        "help": _words(words.help),
    }
    if column.kind is Kind.INTEGER:
        if words.unit is None:
            raise KeyError(f"{column.name}: a count needs a unit in field_labels.csv")
        values = train.to_numpy(dtype=np.int64)
        return IntegerField.model_validate(
            about
            | {
                "minimum": column.minimum,
                "maximum": column.maximum,
                "unit": _words(words.unit),
                "reference": int(np.median(values)),
                "distribution": marginals.histogram(values),
            }
        )
    if column.kind is Kind.ICD9:
        return Icd9Field.model_validate(
            about
            | {
                "pattern": f"^{ICD9_PATTERN}$",
                "reference": _mode(train),
                "distribution": marginals.group_shares(train, dict(groups)),
            }
        )
    return CategoryField.model_validate(
        about
        | {
            "levels": [
                Level(value=value, label=_words(label)) for value, label in labels.levels(column.name).items()
            ],
            "reference": _mode(train),
            "distribution": marginals.level_shares(train),
        }
    )


def _examples(risk: npt.NDArray[np.floating]) -> list[Example]:
    """Name the invented patients by the order of their risks under this model."""
    return [
        Example(name=name, patient=examples.PATIENTS[index])
        for name, index in zip(examples.NAMES, np.argsort(risk, kind="stable"), strict=True)
    ]


def build(train: pd.DataFrame, groups: Mapping[str, str], described: Described) -> InputSchema:
    """Describe a model and the fields it takes.

    `train` is the encounters frame of the train split's cohort; `groups` maps the part of an ICD-9 code
    before the point to one of the nine groups.
    """
    risk = described.validation_risk
    used = {*described.numeric, *described.categorical}
    return InputSchema(
        schema_version=SCHEMA_VERSION,
        model=MODEL_NAME,
        candidate=described.candidate,
        created=described.created,
        dataset=described.dataset,
        graph=Graph(
            file=MODEL_FILE,
            numeric=list(described.numeric),
            categorical=list(described.categorical),
            output=OUTPUT,
        ),
        threshold=described.threshold,
        flagged_fraction=float((risk >= described.threshold).mean()),
        missing=Level(value=MISSING, label=_words(labels.missing())),
        groups=[Group(name=name, label=_words(label)) for name, label in labels.groups().items()],
        fields=[field(column, train[column.name], groups, used=column.name in used) for column in PREDICTORS],
        icd9_groups=Icd9Groups(
            labels={name: _words(label) for name, label in labels.icd9_groups().items()}, codes=dict(groups)
        ),
        scores=Scores(
            quantiles=np.quantile(risk, np.linspace(0, 1, 101)).tolist(),
            distribution=marginals.histogram(risk),
        ),
        metrics={split: dict(measures) for split, measures in described.metrics.items()},
        examples=_examples(described.examples_risk),
        cohort=rules.exclusions(),
        contradictions=list(rules.CONTRADICTIONS),
        intervals=described.intervals,
    )


def write(schema: InputSchema, path: Path) -> None:
    """Return a schema as JSON."""
    path.write_text(schema.model_dump_json(indent=1) + "\n", encoding="utf-8")


def read(path: Path) -> InputSchema:
    """Return a schema from JSON. Raise pydantic's `ValidationError` if it violates the contract."""
    return InputSchema.model_validate_json(path.read_text(encoding="utf-8"))


def json_schema() -> str:
    """Return the contract as a JSON Schema, as stored in `docs/contracts/input_schema.schema.json`."""
    schema = InputSchema.model_json_schema(mode="serialization")
    return json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}, indent=2) + "\n"
