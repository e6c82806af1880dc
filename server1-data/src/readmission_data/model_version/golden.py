"""Draw the rows that a server scores before it serves a version."""

from typing import Final

import numpy as np
import pandas as pd

from readmission_data.encounters.columns import MISSING, PREDICTORS, Kind
from readmission_data.model_version.marginals import text

ROWS: Final = 64
TOLERANCE: Final = 1e-6

UNKNOWN_LEVEL: Final = "a level of tomorrow"
"""An unseen level: the checks of a request refuse it, but the graph must still accept it."""

_UNKNOWN_CODES: Final = ("1000", "V99.9", "E801.1", "007", "")
_UNUSUAL_SHARE: Final = 0.08


def draw(train: pd.DataFrame, rows: int, seed: int) -> pd.DataFrame:
    """Return an encounters frame of `rows` invented patients.

    Each predictor is drawn independently from its values in `train` (an encounters frame), so that no row is
    a real patient. Then one value in twelve becomes missing, unknown, or an integer's bound.
    """
    random = np.random.default_rng(seed)
    drawn: dict[str, object] = {}
    for column in PREDICTORS:
        values = train[column.name]
        # A separate draw per column: a shared draw would combine values of the same patient.
        picked = values.iloc[random.integers(len(values), size=rows)]
        unusual = random.random(rows) < _UNUSUAL_SHARE
        if column.kind is Kind.INTEGER:
            bounds = random.choice([column.minimum, column.maximum], size=rows)
            drawn[column.name] = np.where(unusual, bounds, picked.to_numpy(dtype=np.int64))
            continue
        codes = column.kind is Kind.ICD9
        odd = [MISSING, *_UNKNOWN_CODES] if codes else [MISSING, UNKNOWN_LEVEL]
        spelled = text(picked).to_numpy(dtype=object)
        drawn[column.name] = np.where(unusual, random.choice(np.array(odd, dtype=object), size=rows), spelled)
    frame = pd.DataFrame(drawn)
    return frame.astype({column.name: object for column in PREDICTORS if column.kind is not Kind.INTEGER})
