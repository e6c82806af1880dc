"""Which encounters the model is about, and what it is to predict."""

from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from readmission_data.encounters.columns import TARGET

COHORT_VERSION: Final = "1"
"""Raise it with every change of the rules below, so that a lineage tells which ones held."""

SPLIT_VERSION: Final = "1"
"""Version of the split's rule: a salted hash of the patient, 70/15/15."""

DEATH_OR_HOSPICE: Final = frozenset({"11", "13", "14", "19", "20", "21"})
"""`discharge_disposition_id` of a patient who died or went to a hospice and so cannot be readmitted.

Source: `IDS_mapping.csv`; left out as in Strack et al. 2014, section 2.2.
"""

EARLY: Final = "<30"
"""The level of `readmitted` that the model predicts: back within 30 days of discharge."""


def keep(frame: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Return a mask [n] of the encounters that belong to the cohort."""
    discharged = frame["discharge_disposition_id"].astype("str")
    return ~discharged.isin(DEATH_OR_HOSPICE).to_numpy(dtype=bool)


def label(frame: pd.DataFrame) -> npt.NDArray[np.int8]:
    """Return the target [n]: 1 where the patient was readmitted within 30 days, else 0."""
    return (frame[TARGET] == EARLY).to_numpy(dtype=bool).astype(np.int8)
