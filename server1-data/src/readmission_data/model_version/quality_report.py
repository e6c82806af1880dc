"""What the cross-validation script found out about this pipeline, for the model card.

The script is run by hand (`server1-data/quality`); its figures are printed, never used to choose a model.
What it found on the public data set comes with this package, in `quality_reference.json`; the setting
`quality_report` names another file, for a data set of your own.
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


class QualityReport(_Part):
    """Figures for the data set with this checksum."""

    dataset_sha256: str
    cross_validation: Figures | None = None
    temporal: TemporalTest | None = None


def read(path: Path | None, dataset_sha256: str) -> QualityReport | None:
    """Return the report at `path`, by default the packaged one; None where it is about another data set.

    Raises RegistryError where the file cannot be read: a card without it would look as if nobody had tried.
    """
    path = path or PACKAGED
    try:
        report = QualityReport.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError, UnicodeDecodeError) as error:
        raise RegistryError(
            f"the quality report {path.name} cannot be read: {type(error).__name__}"
        ) from error
    return report if report.dataset_sha256 == dataset_sha256 else None
