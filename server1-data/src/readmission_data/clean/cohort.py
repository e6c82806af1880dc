"""The encounters that the model is about, and its target."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from readmission_data.encounters.columns import TARGET
from readmission_data.encounters.levels import PENDING

COHORT_VERSION: Final = "2"
"""Increase it with every change of the rules below: a lineage records which rules applied."""

SPLIT_VERSION: Final = "1"
"""Version of the split's rule: a salted hash of the patient, 70/15/15."""


@dataclass(frozen=True, slots=True)
class Exclusion:
    """Encounters outside the cohort: those whose categorical `field` has one of `levels`."""

    field: str
    levels: frozenset[str]


DIED: Final = Exclusion("discharge_disposition_id", frozenset({"11", "19", "20", "21"}))
"""Patients who died during the stay, or whose discharge to a hospice was coded as a death."""

HOSPICE: Final = Exclusion("discharge_disposition_id", frozenset({"13", "14"}))
"""Patients who went to a hospice, at home or in a facility."""

EXCLUSIONS: Final = (DIED, HOSPICE)
"""The rules of the cohort: such patients cannot be readmitted, or are not meant to be.

Source of the codes: `IDS_mapping.csv`; excluded as in Strack et al. 2014, section 2.2. Every model version
contains these rules, so that serving refuses patients like none in training.
"""

EARLY: Final = "<30"
"""The level of `readmitted` that the model predicts: back within 30 days of discharge."""


def keep(frame: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Return a mask [n] of the encounters that belong to the cohort and whose outcome is known."""
    kept: npt.NDArray[np.bool_] = (frame[TARGET] != PENDING).to_numpy(dtype=bool)
    for exclusion in EXCLUSIONS:
        values = frame[exclusion.field].astype("str")
        kept = kept & ~values.isin(exclusion.levels).to_numpy(dtype=bool)
    return kept


def label(frame: pd.DataFrame) -> npt.NDArray[np.int8]:
    """Return the target [n]: 1 if the patient was readmitted within 30 days, else 0."""
    return (frame[TARGET] == EARLY).to_numpy(dtype=bool).astype(np.int8)
