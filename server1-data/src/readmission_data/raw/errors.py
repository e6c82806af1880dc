"""The errors of loading raw data."""

from readmission_data.errors import ReadmissionDataError


class SourceError(ReadmissionDataError):
    """A source that cannot be read as encounters at all."""


class NothingLoadedError(ReadmissionDataError):
    """A source of which not one row was good; its rows are kept in `rejected_rows`."""
