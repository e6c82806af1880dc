"""The encounters to measure on: the data set as the product's own loader takes it in."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import SecretStr

from readmission_data import databases, dataset
from readmission_data.clean import cohort
from readmission_data.dataset import DatasetFile
from readmission_data.raw import load, tables
from readmission_data.raw.split import Split
from readmission_data.settings import DataSettings

_SPLIT = "split"


@dataclass(frozen=True)
class Encounters:
    """The n encounters of the cohort, in the order of `encounter_id`.

    frame: an encounters frame [n]; splits: the product's split of each row [n]; labels: int8 [n];
    patients: int64 [n]; visits: how many encounters the patient has in the whole data set, later ones and
    those outside the cohort included [n].
    """

    source: DatasetFile
    frame: pd.DataFrame
    splits: npt.NDArray[np.object_]
    labels: npt.NDArray[np.int8]
    patients: npt.NDArray[np.int64]
    visits: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.frame)


def read(settings: DataSettings, *, patients: int | None = None) -> Encounters:
    """Load the data set into a separate RawData and return the cohort.

    `patients` keeps that many of the patients, drawn with the settings' seed. Raise a `ReadmissionDataError`
    if the data set is not available.
    """
    source = dataset.find(settings)
    with tempfile.TemporaryDirectory() as folder:
        raw_url = SecretStr(f"sqlite:///{Path(folder) / 'raw.db'}")
        for _ in load.load_all(settings.model_copy(update={"source": "file", "raw_url": raw_url})):
            pass
        with databases.engine(raw_url) as engine, engine.connect() as connection:
            parts = [tables.read_split(connection, split).assign(**{_SPLIT: str(split)}) for split in Split]
    whole = pd.concat(parts, ignore_index=True).sort_values("encounter_id", ignore_index=True)
    numbers = whole["patient_nbr"].to_numpy(np.int64)
    _, patient, count = np.unique(numbers, return_inverse=True, return_counts=True)
    kept = cohort.keep(whole)
    if patients is not None:
        drawn = np.random.default_rng(settings.seed).permutation(len(count))[:patients]
        kept &= np.isin(patient, drawn)
    frame = whole[kept].reset_index(drop=True)
    return Encounters(
        source=source,
        splits=frame.pop(_SPLIT).to_numpy(object),
        frame=frame,
        labels=cohort.label(frame),
        patients=numbers[kept],
        visits=count[patient][kept].astype(np.int64),
    )
