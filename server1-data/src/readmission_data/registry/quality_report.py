"""What the cross-validation script found out about this pipeline, for the model card.

The script is run by hand (`server1-data/quality`); its figures are printed, never used to choose a model.
"""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from readmission_data.registry.contract import Interval
from readmission_data.registry.errors import RegistryError


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
    """Return the report, if there is one and it is about this data set.

    Raises RegistryError where the file cannot be read: a card without it would look as if nobody had tried.
    """
    if path is None or not path.is_file():
        return None
    try:
        report = QualityReport.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError, UnicodeDecodeError) as error:
        raise RegistryError(
            f"the quality report {path.name} cannot be read: {type(error).__name__}"
        ) from error
    return report if report.dataset_sha256 == dataset_sha256 else None
