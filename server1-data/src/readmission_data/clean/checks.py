"""The checks of the frames that tasks hand to each other."""

from collections.abc import Hashable, Sequence
from typing import Any, Final

import pandas as pd
import pandera.pandas as pa
from pandera.errors import SchemaErrors

from readmission_data.clean.cohort import EXCLUSIONS
from readmission_data.clean.encoding import Feature, FeatureKind
from readmission_data.clean.tables import LABEL
from readmission_data.encounters.columns import BY_NAME, COLUMNS, ICD9_PATTERN, Column, Kind
from readmission_data.errors import CheckError

_SMALLINT: Final = 2**15


def _known(allowed: Sequence[str]) -> pa.Check:
    """Return a check that examines each distinct value once."""
    levels = set(allowed)
    return pa.Check(lambda column: set(column.dropna().unique()) <= levels, name="known level")


def _icd9() -> pa.Check:
    return pa.Check(
        lambda column: bool(
            pd.Series(column.dropna().unique(), dtype="str").str.fullmatch(ICD9_PATTERN).all()
        ),
        name="ICD-9 code",
    )


def _encounter_column(column: Column) -> pa.Column:
    if column.kind in {Kind.IDENTIFIER, Kind.INTEGER}:
        bounds = pa.Check.in_range(column.minimum, column.maximum)
        return pa.Column("int64", bounds, unique=column.name == "encounter_id")
    check = _icd9() if column.kind is Kind.ICD9 else _known(column.levels)
    return pa.Column(checks=check, nullable=column.missing)


ENCOUNTERS: Final = pa.DataFrameSchema(
    {column.name: _encounter_column(column) for column in COLUMNS},
    checks=pa.Check(lambda frame: len(frame) > 0, name="at least one row"),
    strict=True,
)
"""A split as stored in RawData."""

_EXCLUDED: Final = {
    field: frozenset().union(*(rule.levels for rule in EXCLUSIONS if rule.field == field))
    for field in dict.fromkeys(rule.field for rule in EXCLUSIONS)
}

COHORT: Final = pa.DataFrameSchema(
    {
        field: pa.Column(checks=_known([level for level in BY_NAME[field].levels if level not in levels]))
        for field, levels in _EXCLUDED.items()
    },
    checks=pa.Check(lambda frame: len(frame) > 0, name="at least one row"),
)
"""A split's cohort: no level that the cohort excludes. Everything else has been checked before."""


def processed(features: Sequence[Feature]) -> pa.DataFrameSchema:
    """Return the schema of a processed split: ids, labels, and the features without missing values."""
    columns = {
        "encounter_id": pa.Column("int64", unique=True),
        LABEL: pa.Column("int8", pa.Check.isin((0, 1))),
    }
    for feature in features:
        low, high = (0, 1) if feature.kind is FeatureKind.RATE else (-_SMALLINT, _SMALLINT - 1)
        columns[feature.name] = pa.Column("float32", pa.Check.in_range(low, high))
    return pa.DataFrameSchema(columns, strict=True, ordered=True)


def check(schema: pa.DataFrameSchema, frame: pd.DataFrame, what: str) -> None:
    """Raise `CheckError` with the columns and what is wrong with them, but never with a value."""
    try:
        schema.validate(frame, lazy=True)
    except SchemaErrors as errors:
        cases = errors.failure_cases.drop_duplicates(["column", "check"])
        found = "; ".join(_complaint(case) for case in cases.to_dict("records"))
        raise CheckError(f"{what}: {found}") from None


def _complaint(case: dict[Hashable, Any]) -> str:
    # For a missing or unknown column, the failure case is only its name.
    if case["check"] == "column_in_dataframe":
        return f"column {case['failure_case']} is missing"
    if case["check"] == "column_in_schema":
        return f"column {case['failure_case']} is unknown"
    return f"{case['column'] or 'the frame'} fails {case['check']}"


def check_patients_apart(splits: dict[str, pd.DataFrame]) -> None:
    """Raise `CheckError` if a patient is in two splits."""
    patients = pd.concat([frame["patient_nbr"].drop_duplicates() for frame in splits.values()])
    twice = int(patients.duplicated().sum())
    if twice:
        raise CheckError(f"{twice} patients are in two splits: RawData was split by more than one rule")


def check_learnable(label: "pd.Series[int]", patients: "pd.Series[int]", folds: int) -> None:
    """Raise `CheckError` if train has too few patients, or only one outcome, to fit anything."""
    if patients.nunique() < folds:
        raise CheckError(f"train has {patients.nunique()} patients, fewer than the {folds} folds")
    if label.nunique() < 2:  # noqa: PLR2004 - readmitted and not
        raise CheckError("all encounters of train have the same outcome: there is nothing to learn")
