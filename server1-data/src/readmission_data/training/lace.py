"""The LACE index, the score that wards know: a baseline that a model has to beat.

van Walraven et al., "Derivation and validation of an index to predict early death or unplanned readmission",
CMAJ 2010: length of stay, acuity of the admission, comorbidity, emergency visits; 0 to 19 points. The data
set limits it: three diagnoses represent all comorbidity, and emergency visits count over a year instead of
half a year.
"""

from typing import Final

import numpy as np
import pandas as pd
from pycomorb import comorbidity

from readmission_data.training.metrics import Array

DIAGNOSES: Final = ("diag_1", "diag_2", "diag_3")

_ACUTE_TYPES: Final = ("1", "7")
"""Levels of `admission_type_id`: emergency and trauma centre."""

_EMERGENCY_ROOM: Final = "7"
"""Level of `admission_source_id`."""

_ACUTE_POINTS: Final = 3
_DAYS: Final = np.array([1, 2, 3, 4, 7, 14])
_DAYS_POINTS: Final = np.array([0, 1, 2, 3, 4, 5, 7])
_COMORBIDITY_POINTS: Final = np.array([0, 1, 2, 3, 5])
_MOST_VISITS: Final = 4
MOST: Final = 19
"""The most points that an encounter can have."""

_CHARLSON: Final = "Charlson Comorbidity Index"


def lace(frame: pd.DataFrame) -> Array:
    """Return the index, int64 [n], of each row of an encounters frame."""
    days = np.searchsorted(_DAYS, frame["time_in_hospital"].to_numpy(np.int64), side="right")
    acute = frame["admission_type_id"].astype("str").isin(_ACUTE_TYPES) | (
        frame["admission_source_id"].astype("str") == _EMERGENCY_ROOM
    )
    illness = np.minimum(charlson(frame), len(_COMORBIDITY_POINTS) - 1)
    visits = np.minimum(frame["number_emergency"].to_numpy(np.int64), _MOST_VISITS)
    points: Array = (
        _DAYS_POINTS[days] + _ACUTE_POINTS * acute.to_numpy(np.int64) + _COMORBIDITY_POINTS[illness] + visits
    )
    return points


def charlson(frame: pd.DataFrame) -> Array:
    """Return the Charlson index, int64 [n], without points for age.

    Categories of Quan et al. 2005 for ICD-9-CM, weights of Charlson et al. 1987, from the three diagnoses.
    """
    codes = pd.concat(
        [
            pd.DataFrame({"row": np.arange(len(frame)), "code": frame[name].to_numpy(object)})
            for name in DIAGNOSES
        ]
    ).dropna()
    # The data set drops trailing zeros: its 250 is 250.00, which has its category by the fourth digit.
    whole = codes["code"].str.fullmatch(r"\d+")
    codes["code"] = codes["code"].where(~whole, codes["code"] + ".00")
    points = np.zeros(len(frame), dtype=np.int64)
    if codes.empty:
        return points
    found = comorbidity(
        score="charlson",
        # The calculator requires an age; the column that is read does not include its points.
        df=codes.assign(age=0),
        id_col="row",
        code_col="code",
        age_col="age",
        icd_version="icd9",
        implementation="quan",
        weights="charlson",
    )
    points[found["row"].to_numpy(np.int64)] = found[_CHARLSON].to_numpy(np.int64)
    return points
