"""Reads a CSV of encounters without a database."""

from pathlib import Path

import pandas as pd

from readmission_data.encounters.columns import BY_NAME, MISSING, Kind

_NUMBERS = {name for name, column in BY_NAME.items() if column.kind in {Kind.INTEGER, Kind.IDENTIFIER}}


def read_csv(path: Path) -> pd.DataFrame:
    """Return the encounters frame of a CSV (or a zip that holds one as its largest file), by encounter."""
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    frame.columns = [name.replace("-", "_") for name in frame.columns]
    frame = frame.astype(object).where(frame != MISSING, None)
    for name in _NUMBERS:
        frame[name] = frame[name].astype("int64")
    return frame.sort_values("encounter_id").reset_index(drop=True)
