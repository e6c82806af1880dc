"""Read a CSV of encounters without a database."""

from pathlib import Path

import pandas as pd

from readmission_data.dataset.file import open_csv
from readmission_data.encounters.columns import BY_NAME, MISSING, Kind

_NUMBERS = {name for name, column in BY_NAME.items() if column.kind in {Kind.INTEGER, Kind.IDENTIFIER}}


def read_csv(path: Path) -> pd.DataFrame:
    """Return the encounters frame of a csv, or of a zip that contains one, by encounter."""
    with open_csv(path) as source:
        frame = pd.read_csv(source, dtype=str, keep_default_na=False)
    frame.columns = [name.replace("-", "_") for name in frame.columns]
    frame = frame.astype(object).where(frame != MISSING, None)
    for name in _NUMBERS:
        frame[name] = frame[name].astype("int64")
    return frame.sort_values("encounter_id").reset_index(drop=True)
