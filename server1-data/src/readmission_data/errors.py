"""The errors of server 1.

Each message is one line that a person can act on and contains no patient values.
"""


class ReadmissionDataError(Exception):
    """An error the operator can fix."""


class DatabaseError(ReadmissionDataError):
    """A database is unreachable, fails, or is locked by another writer."""


class BulkError(ReadmissionDataError):
    """The database did not accept rows unchanged; the transaction must be rolled back."""


class TrackingError(ReadmissionDataError):
    """The tracking server is unavailable or refuses a request."""


class TransientError(ReadmissionDataError):
    """A failure that may not occur again; `pause` is the seconds to wait before a retry, if known."""

    def __init__(self, message: str, pause: float = 0) -> None:
        super().__init__(message)
        self.pause = pause


class DatasetError(ReadmissionDataError):
    """The data set as a whole cannot be found, downloaded or read; the load checks single rows."""


class SourceError(ReadmissionDataError):
    """A source cannot be read as encounters."""


class NothingLoadedError(ReadmissionDataError):
    """A source has no valid row; all its rows are in `rejected_rows`."""


class RawDataEmptyError(ReadmissionDataError):
    """RawData has no batch yet."""


class StagingError(ReadmissionDataError):
    """A file that an earlier task should have written is missing."""


class CheckError(ReadmissionDataError):
    """A frame fails a check that the next task relies on."""


class EncodingError(ReadmissionDataError):
    """An encoding cannot be computed exactly, or does not apply to a frame."""


class ProcessedError(ReadmissionDataError):
    """CleanData has no processed tables."""


class TrainingError(ReadmissionDataError):
    """The data, settings or tracking server do not allow a training."""


class TrainingUnderWayError(TrainingError):
    """Another training or registration is running."""


class RegistryError(ReadmissionDataError):
    """A version cannot be registered, read or moved."""


class PinnedError(RegistryError):
    """A pin holds the version that serves."""


class ParityError(RegistryError):
    """A graph does not compute what its estimator computes."""


class ConversionError(RegistryError):
    """An estimator has no ONNX counterpart."""


class MonitoringError(ReadmissionDataError):
    """The prediction log cannot be read, or is not complete."""


class ErasureError(ReadmissionDataError):
    """A patient cannot be erased, or erased patients cannot be kept out."""


class ReplayError(ReadmissionDataError):
    """A replay cannot start or continue."""
