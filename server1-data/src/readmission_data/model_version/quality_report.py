"""The cross-validation script's figures of each candidate, for the model card.

The script is run by hand (`server1-data/quality`); its figures are printed, never used to choose a model.
The figures for the public data set are part of this package, in `quality_reference.json`; the setting
`quality_report` names another file for your own data set.
"""

from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from readmission_data.errors import RegistryError
from readmission_data.model_version.contract import Interval

PACKAGED: Final = Path(__file__).with_name("quality_reference.json")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Figures(_Part):
    """Quality under one way of splitting the encounters."""

    roc_auc: Interval
    average_precision: Interval


class TemporalTest(Figures):
    """Trained on the earlier encounters, tested on the last ones by `encounter_id`."""

    train_rows: int
    test_rows: int


class Spread(_Part):
    """Mean and standard deviation of a measure."""

    mean: float
    deviation: float


class Partitions(_Part):
    """Quality over random partitions by patient, with the whole pipeline fitted in each."""

    number: int
    roc_auc: Spread
    average_precision: Spread
    calibration_error: Spread


class CandidateFigures(_Part):
    """The figures of one candidate."""

    cross_validation: Figures | None = None
    partitions: Partitions | None = None
    temporal: TemporalTest | None = None


class QualityReport(_Part):
    """Figures for the data set with this checksum, by candidate."""

    dataset_sha256: str
    candidates: dict[str, CandidateFigures]


def read(path: Path | None, dataset_sha256: str, candidate: str) -> CandidateFigures | None:
    """Return the figures of one candidate from the report at `path`, by default the packaged one.

    Return None if the report is about another data set or does not cover the candidate: figures of another
    candidate say nothing about this one. Raise `RegistryError` if the file cannot be read: a card without its
    figures would look as if nobody had measured them.
    """
    path = path or PACKAGED
    try:
        report = QualityReport.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError, UnicodeDecodeError) as error:
        raise RegistryError(
            f"the quality report {path.name} cannot be read: {type(error).__name__}"
        ) from error
    return report.candidates.get(candidate) if report.dataset_sha256 == dataset_sha256 else None
