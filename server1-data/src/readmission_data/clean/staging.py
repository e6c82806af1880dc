"""The files that tasks of one run hand to each other: Parquet files in the run's own folder."""

import hashlib
import os
import re
import shutil
import time
from pathlib import Path
from typing import Any, Final

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from readmission_data.errors import StagingError

KEPT_SECONDS: Final = 24 * 60 * 60
"""How long the files of a run are kept, so that its tasks can run again; they contain patients' data."""

_READABLE: Final = 80


def folder(root: Path, run_id: str) -> Path:
    """Return the folder of a run; the scheduler's run id may contain characters that are unsafe in a path."""
    readable = re.sub(r"[^\w+-]", "_", run_id)[:_READABLE]
    return root / f"{readable}-{hashlib.sha256(run_id.encode()).hexdigest()[:12]}"


def remove_old(root: Path) -> None:
    """Remove the folders of runs that wrote nothing for a day."""
    for path in root.glob("*/"):
        newest = max((file.stat().st_mtime for file in path.rglob("*")), default=path.stat().st_mtime)
        if time.time() - newest > KEPT_SECONDS:
            shutil.rmtree(path)


def write(path: Path, table: pa.Table) -> None:
    """Write a table atomically: a killed task leaves the old file, or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        pq.write_table(table, file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def write_frame(path: Path, frame: pd.DataFrame) -> None:
    """Write a frame without its index, atomically."""
    write(path, pa.Table.from_pandas(frame, preserve_index=False))


def read(path: Path) -> Any:  # noqa: ANN401 - pyarrow has no types
    """Return a table that `write` wrote. Raise `StagingError` if there is none."""
    if not path.exists():
        raise StagingError(f"{path} is not there: run the tasks before it again, from `load`")
    return pq.read_table(path)


def read_frame(path: Path) -> pd.DataFrame:
    """Return a frame that `write` or `write_frame` wrote."""
    frame: pd.DataFrame = read(path).to_pandas()
    return frame
