"""How a replay shifts its population: it draws some patients more often. No value is ever invented."""

import re
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from readmission_data.clean import icd9
from readmission_data.encounters.columns import MISSING, PREDICTORS, Column, Kind
from readmission_data.errors import ReplayError
from readmission_data.model_version.marginals import text

Weights = npt.NDArray[np.float64]

_FIELDS: Final = {column.name: column for column in PREDICTORS}
_AT_LEAST: Final = re.compile(r"(\d+)\+")
_BETWEEN: Final = re.compile(r"(\d+)-(\d+)")


def _older(frame: pd.DataFrame) -> Weights:
    decades = frame["age"].astype(str).str.extract(r"(\d+)")[0].astype("float64") / 10
    return np.asarray(2.0**decades, dtype=np.float64)


def _more_inpatient(frame: pd.DataFrame) -> Weights:
    return np.asarray(1 + 2 * frame["number_inpatient"], dtype=np.float64)


def _other_diagnoses(frame: pd.DataFrame) -> Weights:
    groups = _groups(frame["diag_1"])
    return np.asarray(1 / groups.map(groups.value_counts(normalize=True)), dtype=np.float64)


NAMED: Final[dict[str, Callable[[pd.DataFrame], Weights]]] = {
    "older": _older,
    "more-inpatient": _more_inpatient,
    "other-diagnoses": _other_diagnoses,
}


def weights(
    frame: pd.DataFrame, readmitted: npt.NDArray[np.bool_], shifts: Sequence[str], positives: float | None
) -> Weights | None:
    """Return the probability [n] of drawing each encounter, or None if all are equal.

    `frame` is an encounters frame [n], `readmitted` its labels [n]. Raise `ReplayError` for a shift that
    cannot be parsed or leaves no patients.
    """
    if not shifts and positives is None:
        return None
    drawn = np.ones(len(frame))
    for given in shifts:
        drawn *= NAMED[given](frame) if given in NAMED else _reweighed(frame, given)
    if not drawn.sum():
        raise ReplayError("the shifts leave no patient to draw")
    if positives is not None:
        for label, share in ((readmitted, positives), (~readmitted, 1 - positives)):
            if not drawn[label].sum():
                raise ReplayError(
                    "--positives needs patients who came back and others; the shifts leave one kind"
                )
            drawn[label] *= share / drawn[label].sum()
    probabilities: Weights = drawn / drawn.sum()
    return probabilities


def _reweighed(frame: pd.DataFrame, given: str) -> Weights:
    """Parse `FIELD=VALUE:WEIGHT,…`; values that are not named keep the weight 1."""
    name, equals, rest = given.partition("=")
    if not equals or name not in _FIELDS:
        named = ", ".join(NAMED)
        raise ReplayError(f"--shift {given}: take {named}, or FIELD=VALUE:WEIGHT with a field of the model")
    drawn = np.ones(len(frame))
    for part in rest.split(","):
        value, colon, weight = part.rpartition(":")
        if not colon or not re.fullmatch(r"\d+(\.\d+)?", weight):
            raise ReplayError(f"--shift {given}: after {name}= comes VALUE:WEIGHT, for example {name}=…:5")
        chosen = _matches(_FIELDS[name], frame[name], value)
        if not chosen.any():
            raise ReplayError(f"--shift {given}: no patient of the test split has this {name}: {value}")
        drawn[chosen] = float(weight)
    return drawn


def _matches(column: Column, values: pd.Series, wanted: str) -> npt.NDArray[np.bool_]:
    if column.kind is Kind.INTEGER:
        numbers = values.to_numpy(dtype=np.int64)
        if found := _AT_LEAST.fullmatch(wanted):
            return numbers >= int(found[1])
        if found := _BETWEEN.fullmatch(wanted):
            return (numbers >= int(found[1])) & (numbers <= int(found[2]))
        return numbers == int(wanted) if wanted.isdecimal() else np.zeros(len(numbers), dtype=bool)
    if column.kind is Kind.ICD9 and wanted in icd9.GROUPS:
        return (_groups(values) == wanted).to_numpy(dtype=bool)
    return (text(values) == wanted).to_numpy(dtype=bool)


def _groups(codes: pd.Series) -> pd.Series:
    spelled = text(codes)
    return spelled.map(lambda code: code if code == MISSING else icd9.group(icd9.stem(code)))
