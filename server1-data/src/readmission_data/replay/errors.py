"""What can stop a replay."""

from readmission_data.errors import ReadmissionDataError


class ReplayError(ReadmissionDataError):
    """A replay that cannot begin or go on."""
