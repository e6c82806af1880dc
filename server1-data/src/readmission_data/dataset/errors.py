"""What can be wrong with a data set as a whole; single rows are judged when they are loaded."""

from readmission_data.errors import ReadmissionDataError


class DatasetError(ReadmissionDataError):
    """A data set that cannot be found, fetched or read."""
