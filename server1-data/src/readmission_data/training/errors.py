"""What can be wrong with a training."""

from readmission_data.errors import ReadmissionDataError


class TrainingError(ReadmissionDataError):
    """Data, settings or a tracking server that cannot be trained with."""
