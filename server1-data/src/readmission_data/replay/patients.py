"""The patients of a replay: the test split's cohort, drawn with the weights of the shifts."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from readmission_data import databases
from readmission_data.clean import cohort
from readmission_data.encounters.columns import BY_NAME, PREDICTORS, Kind
from readmission_data.errors import ReplayError
from readmission_data.model_version.marginals import text
from readmission_data.raw import tables
from readmission_data.raw.split import Split
from readmission_data.replay import shift
from readmission_data.replay.options import ReplayOptions
from readmission_data.settings import DataSettings

Patient = dict[str, int | str]

_AT_ONCE: Final = 1_000


@dataclass(frozen=True)
class Encounters:
    """`patients` are request bodies with values as in the CSV; `readmitted` [n] means within 30 days."""

    frame: pd.DataFrame
    patients: list[Patient]
    readmitted: npt.NDArray[np.bool_]


def read(settings: DataSettings) -> Encounters:
    """Return the test split's cohort from RawData. Raise `ReplayError` if there is none."""
    with databases.engine(settings.raw_url) as engine, engine.begin() as connection:
        tables.create(connection)
        everyone = tables.read_split(connection, Split.TEST)
    frame = everyone[cohort.keep(everyone)].reset_index(drop=True)
    if frame.empty:
        raise ReplayError("RawData has no test patients yet: run `load` first")
    spelled = {
        column.name: frame[column.name].astype(int).tolist()
        if BY_NAME[column.name].kind is Kind.INTEGER
        else text(frame[column.name]).tolist()
        for column in PREDICTORS
    }
    patients = [dict(zip(spelled, row, strict=True)) for row in zip(*spelled.values(), strict=True)]
    return Encounters(frame, patients, cohort.label(frame).astype(bool))


def draw(encounters: Encounters, options: ReplayOptions) -> Iterator[tuple[Patient, bool]]:
    """Yield patients without end, each with whether they came back; the same seed gives the same ones.

    Without a shift, every patient is used once before any is repeated; otherwise they are drawn with
    replacement.
    """
    random = np.random.default_rng(options.seed)
    weights = shift.weights(encounters.frame, encounters.readmitted, options.shifts, options.positives)
    n = len(encounters.patients)
    while True:
        places: npt.NDArray[Any] = (
            random.permutation(n) if weights is None else random.choice(n, size=_AT_ONCE, p=weights)
        )
        for place in places.tolist():
            yield encounters.patients[place], bool(encounters.readmitted[place])
