"""Errors of monitoring."""

from readmission_data.errors import ReadmissionDataError


class MonitoringError(ReadmissionDataError):
    """A prediction log that cannot be read, or that does not say what it should."""
