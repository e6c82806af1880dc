"""The features that need no fitting: what each field says, by rule."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from readmission_data.clean import icd9
from readmission_data.clean.encoding import Encoding, Feature, FeatureKind, Float32Array
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
"""Small categoricals, one feature a level."""

DOSE_RANK: Final = {dose: rank for rank, dose in enumerate(levels.DOSES)}
RESULT_RANK: Final = {
    "max_glu_serum": {result: rank for rank, result in enumerate(levels.GLUCOSE_RESULTS)},
    "A1Cresult": {result: rank for rank, result in enumerate(levels.A1C_RESULTS)},
}
"""Results in rising order; a test that was not done stands below a normal one."""

VISITS: Final = ("number_outpatient", "number_emergency", "number_inpatient")


@dataclass(frozen=True, slots=True)
class Definition:
    """A feature and what each field adds to it.

    `weights` multiplies integer fields. `contributions` gives each key of a categorical field what it adds;
    the key None stands for all keys not named, and is 0 where it is absent.
    """

    feature: Feature
    weights: dict[str, float] = field(default_factory=dict)
    contributions: dict[str, dict[str | None, float]] = field(default_factory=dict)


def assemble(definitions: Iterable[Definition]) -> Encoding:
    """Return the encoding that computes the defined features, in their order."""
    defined = list(definitions)
    width = len(defined)
    weights: dict[str, Float32Array] = {}
    contributions: dict[str, dict[str | None, Float32Array]] = {}
    for position, definition in enumerate(defined):
        for name, weight in definition.weights.items():
            weights.setdefault(name, np.zeros(width, np.float32))[position] = weight
        for name, added in definition.contributions.items():
            rows = contributions.setdefault(name, {None: np.zeros(width, np.float32)})
            rows[None][position] = added.get(None, 0)
            for key in added:
                rows.setdefault(key, np.zeros(width, np.float32))
    # A key that one feature names and another does not adds the latter's default.
    for position, definition in enumerate(defined):
        for name, rows in contributions.items():
            added = definition.contributions.get(name, {})
            default = added.get(None, 0)
            for key, row in rows.items():
                row[position] = added.get(key, default)
    return Encoding.build([definition.feature for definition in defined], weights, contributions)


def by_rule() -> list[Definition]:
    """Return the definitions of all features that need no label."""
    return [*_integers(), _age(), *_one_hots(), *_results(), *_drugs(), *_groups()]


def _integers() -> list[Definition]:
    single = [
        Definition(Feature(column.name, (column.name,), FeatureKind.INTEGER), {column.name: 1})
        for column in PREDICTORS
        if column.kind is Kind.INTEGER
    ]
    visits = Feature("number_visits", VISITS, FeatureKind.COUNT)
    return [*single, Definition(visits, dict.fromkeys(VISITS, 1.0))]


def _age() -> Definition:
    """Return the age in years: the middle of the ten-year band."""
    middles: dict[str | None, float] = {}
    for band in levels.AGES:
        low, high = (int(bound) for bound in re.findall(r"\d+", band))
        middles[band] = (low + high) / 2
    return Definition(Feature("age_years", ("age",), FeatureKind.ORDINAL), contributions={"age": middles})


def _one_hots() -> list[Definition]:
    definitions = []
    for name in ONE_HOT:
        column = BY_NAME[name]
        allowed = (*column.levels, MISSING) if column.missing else column.levels
        # Of two levels the second says all.
        shown = allowed[1:] if len(allowed) == 2 else allowed  # noqa: PLR2004
        for level in shown:
            feature = Feature(f"{name}_is_{_slug(level)}", (name,), FeatureKind.ONE_HOT)
            definitions.append(Definition(feature, contributions={name: {level: 1}}))
    return definitions


def _slug(level: str) -> str:
    if level == MISSING:
        return "missing"
    if level.startswith(">"):
        return f"above_{level[1:]}"
    return re.sub(r"\W+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", level)).lower()


def _ordinal(name: str, source: str, ranks: dict[str, int]) -> Definition:
    feature = Feature(name, (source,), FeatureKind.ORDINAL)
    return Definition(feature, contributions={source: {level: float(rank) for level, rank in ranks.items()}})


def _results() -> list[Definition]:
    return [_ordinal(f"{name}_rank", name, ranks) for name, ranks in RESULT_RANK.items()]


def _drugs() -> list[Definition]:
    doses = [_ordinal(f"{drug}_dose", drug, DOSE_RANK) for drug in DRUGS]
    counts = {
        "drugs_taken": ("Down", "Steady", "Up"),
        "doses_changed": ("Down", "Up"),
        "doses_raised": ("Up",),
        "doses_lowered": ("Down",),
    }
    for name, counted in counts.items():
        added: dict[str | None, float] = dict.fromkeys(counted, 1.0)
        feature = Feature(name, DRUGS, FeatureKind.COUNT)
        doses.append(Definition(feature, contributions=dict.fromkeys(DRUGS, added)))
    return doses


def _groups() -> list[Definition]:
    definitions = []
    for group in icd9.GROUPS:
        added = _group_keys(group)
        for diagnosis in DIAGNOSES:
            feature = Feature(f"{diagnosis}_is_{group}", (diagnosis,), FeatureKind.GROUP)
            definitions.append(Definition(feature, contributions={diagnosis: added}))
        feature = Feature(f"diagnoses_{group}", DIAGNOSES, FeatureKind.COUNT)
        definitions.append(Definition(feature, contributions=dict.fromkeys(DIAGNOSES, added)))
    return definitions


def _group_keys(group: str) -> dict[str | None, float]:
    if group != icd9.OTHER:
        return {key: 1.0 for key, name in icd9.GROUP_OF_KEY.items() if name == group}
    # The rest: every key but those of another group, and no diagnosis at all.
    return {None: 1.0, MISSING: 0.0, **dict.fromkeys(icd9.GROUP_OF_KEY, 0.0)}
