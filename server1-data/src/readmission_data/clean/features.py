"""The features that need no fitting: they follow from each field by rule."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from readmission_data.clean import icd9
from readmission_data.clean.encoding import Encoding, Feature, FeatureKind, Float32Array
from readmission_data.clean.keys import Form, Key, Part
from readmission_data.encounters import levels
from readmission_data.encounters.columns import BY_NAME, DRUGS, MISSING, PREDICTORS, Kind

DIAGNOSES: Final = tuple(column.name for column in PREDICTORS if column.kind is Kind.ICD9)

ONE_HOT: Final = (
    "race",
    "gender",
    "admission_type_id",
    "max_glu_serum",
    "A1Cresult",
    "change",
    "diabetesMed",
)
"""Categorical fields with few levels: one feature per level."""

DOSE_RANK: Final = {dose: rank for rank, dose in enumerate(levels.DOSES)}
RESULT_RANK: Final = {
    "max_glu_serum": {result: rank for rank, result in enumerate(levels.GLUCOSE_RESULTS)},
    "A1Cresult": {result: rank for rank, result in enumerate(levels.A1C_RESULTS)},
}
"""Results in ascending order; a test that was not done ranks below a normal result."""

VISITS: Final = ("number_outpatient", "number_emergency", "number_inpatient")
ACUTE_VISITS: Final = ("number_emergency", "number_inpatient")


@dataclass(frozen=True, slots=True)
class Definition:
    """A feature and the contribution of each source.

    `weights` multiplies integer fields. `contributions` maps each level of a key to its contribution; None is
    every level not named, 0 by default.
    """

    feature: Feature
    weights: dict[str, float] = field(default_factory=dict)
    contributions: dict[Key, dict[str | None, float]] = field(default_factory=dict)


def assemble(definitions: Iterable[Definition]) -> Encoding:
    """Return the encoding that computes the defined features, in their order."""
    defined = list(definitions)
    weights: dict[str, Float32Array] = {}
    adding: dict[Key, dict[int, dict[str | None, float]]] = {}
    for position, definition in enumerate(defined):
        for name, weight in definition.weights.items():
            weights.setdefault(name, np.zeros(len(defined), np.float32))[position] = weight
        for key, added in definition.contributions.items():
            adding.setdefault(key, {})[position] = added
    return Encoding.build(
        [definition.feature for definition in defined],
        weights,
        {key: _table(added, len(defined)) for key, added in adding.items()},
    )


def _table(adding: dict[int, dict[str | None, float]], width: int) -> tuple[list[str], Float32Array]:
    """Return a key's levels and table from its contributions to each feature, by the feature's position."""
    levels = sorted({level for added in adding.values() for level in added if level is not None})
    table = np.zeros((len(levels) + 1, width), np.float32)
    for position, added in adding.items():
        default = added.get(None, 0.0)
        table[:, position] = [added.get(level, default) for level in levels] + [default]
    return levels, table


def by_rule() -> list[Definition]:
    """Return the definitions of all features that need no label."""
    return [*_integers(), _age(), *_one_hots(), *_results(), *_drugs(), *_groups()]


def _integers() -> list[Definition]:
    single = [
        Definition(Feature(column.name, (column.name,), FeatureKind.INTEGER), {column.name: 1})
        for column in PREDICTORS
        if column.kind is Kind.INTEGER
    ]
    sums = [
        Definition(Feature(name, fields, FeatureKind.COUNT), dict.fromkeys(fields, 1.0))
        for name, fields in (("number_visits", VISITS), ("number_acute_visits", ACUTE_VISITS))
    ]
    return [*single, *sums]


def _age() -> Definition:
    """Return the age in years: the middle of the ten-year band."""
    middles: dict[str | None, float] = {}
    for band in levels.AGES:
        low, high = (int(bound) for bound in re.findall(r"\d+", band))
        middles[band] = (low + high) / 2
    return Definition(
        Feature("age_years", ("age",), FeatureKind.ORDINAL), contributions={_value("age"): middles}
    )


def _one_hots() -> list[Definition]:
    definitions = []
    for name in ONE_HOT:
        column = BY_NAME[name]
        allowed = (*column.levels, MISSING) if column.missing else column.levels
        # With two levels, the second one is enough.
        shown = allowed[1:] if len(allowed) == 2 else allowed  # noqa: PLR2004
        for level in shown:
            feature = Feature(f"{name}_is_{_slug(level)}", (name,), FeatureKind.ONE_HOT)
            definitions.append(Definition(feature, contributions={_value(name): {level: 1.0}}))
    return definitions


def _slug(level: str) -> str:
    if level == MISSING:
        return "missing"
    if level.startswith(">"):
        return f"above_{level[1:]}"
    return re.sub(r"\W+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", level)).lower()


def _ordinal(name: str, source: str, ranks: dict[str, int]) -> Definition:
    feature = Feature(name, (source,), FeatureKind.ORDINAL)
    added: dict[str | None, float] = {level: float(rank) for level, rank in ranks.items()}
    return Definition(feature, contributions={_value(source): added})


def _results() -> list[Definition]:
    return [_ordinal(f"{name}_rank", name, ranks) for name, ranks in RESULT_RANK.items()]


def _drugs() -> list[Definition]:
    doses = [_ordinal(f"{drug}_dose", drug, DOSE_RANK) for drug in DRUGS]
    oral = tuple(drug for drug in DRUGS if drug != "insulin")
    counts = {
        "drugs_taken": (DRUGS, ("Down", "Steady", "Up")),
        "oral_drugs_taken": (oral, ("Down", "Steady", "Up")),
        "doses_steady": (DRUGS, ("Steady",)),
        "doses_changed": (DRUGS, ("Down", "Up")),
        "doses_raised": (DRUGS, ("Up",)),
        "doses_lowered": (DRUGS, ("Down",)),
    }
    return [*doses, *(_count(name, drugs, counted) for name, (drugs, counted) in counts.items())]


def _count(name: str, drugs: tuple[str, ...], counted: tuple[str, ...]) -> Definition:
    added: dict[str | None, float] = dict.fromkeys(counted, 1.0)
    feature = Feature(name, drugs, FeatureKind.COUNT)
    return Definition(feature, contributions=dict.fromkeys(map(_value, drugs), added))


def _groups() -> list[Definition]:
    definitions = []
    for group in icd9.GROUPS:
        added: dict[Key, dict[str | None, float]] = {
            Key((Part(diagnosis, Form.GROUP),)): {group: 1.0} for diagnosis in DIAGNOSES
        }
        for key, own in added.items():
            feature = Feature(f"{key.fields[0]}_is_{group}", key.fields, FeatureKind.GROUP)
            definitions.append(Definition(feature, contributions={key: own}))
        feature = Feature(f"diagnoses_{group}", DIAGNOSES, FeatureKind.COUNT)
        definitions.append(Definition(feature, contributions=added))
    return definitions


def _value(field_name: str) -> Key:
    return Key((Part(field_name),))
