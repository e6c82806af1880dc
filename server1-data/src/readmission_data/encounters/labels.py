"""The labels of columns, levels, groups and units, in English and in Spanish.

The texts are data: `field_labels.csv` has one line per predictor, `level_labels.csv` one line per level.
Their meanings come from `IDS_mapping.csv` of the data set and from Strack et al. 2014, table 1. The data set
does not explain its payer codes: those with a common meaning in US hospitals have a label, the others keep
their code.
"""

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final, NamedTuple

from readmission_data.encounters.columns import BY_NAME as COLUMNS
from readmission_data.encounters.columns import DRUGS, MISSING, Kind

GROUPS: Final = ("patient", "stay", "diagnoses", "labs", "drugs", "history")
"""The groups of fields in a form, in this order."""


class Text(NamedTuple):
    """The same text in both languages."""

    en: str
    es: str


@dataclass(frozen=True, slots=True)
class FieldText:
    """The labels of one predictor in a form. `unit` is None if the column is not a count."""

    group: str
    label: Text
    help: Text
    unit: Text | None


def _lines(file: str) -> list[dict[str, str]]:
    return list(csv.DictReader(files(__package__).joinpath(file).read_text("utf-8").splitlines()))


@cache
def _fields() -> dict[str, FieldText]:
    return {
        line["name"]: FieldText(
            group=line["group"],
            label=Text(line["label_en"], line["label_es"]),
            help=Text(line["help_en"], line["help_es"]),
            unit=Text(line["unit_en"], line["unit_es"]) if line["unit_en"] else None,
        )
        for line in _lines("field_labels.csv")
    }


@cache
def _levels() -> dict[str, dict[str, Text]]:
    tables: dict[str, dict[str, Text]] = {}
    for line in _lines("level_labels.csv"):
        tables.setdefault(line["table"], {})[line["value"]] = Text(line["en"], line["es"])
    return tables


def field(name: str) -> FieldText:
    """Return the labels of one predictor. Raise `KeyError` if the column is not a predictor."""
    return _fields()[name]


def levels(name: str) -> dict[str, Text]:
    """Return the label of each level of a categorical predictor, in the order of its levels."""
    column = COLUMNS[name]
    if column.kind is not Kind.CATEGORY:
        return {}
    texts = _levels()["dose" if name in DRUGS else name]
    return {level: texts[level] for level in column.levels}


def groups() -> dict[str, Text]:
    """Return the label of each group of fields, in the order of the form."""
    return {name: _levels()["group"][name] for name in GROUPS}


def icd9_groups() -> dict[str, Text]:
    """Return the label of each of the nine groups of diagnoses (Strack et al. 2014, table 2)."""
    return dict(_levels()["icd9_group"])


def missing() -> Text:
    """Return the label of an unknown value."""
    return _levels()["missing"][MISSING]
