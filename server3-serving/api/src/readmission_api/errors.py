"""The errors of the inference API.

Each message is one line that a person can act on, and contains no patient's values.
"""

from typing import Any

import msgspec


class ReadmissionApiError(Exception):
    """An error that the operator or the client of the API can fix."""


class BadSettingError(ReadmissionApiError):
    """A setting that does not work on this machine: an address in use, a folder that is not writable."""


class Problem(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What is wrong with one field of one patient.

    `given` is the JSON type of the value, never the value itself. `allowed` is a list of levels, a range or
    a pattern. `row` is the patient's index in a list, from 0.
    """

    code: str
    message: str
    row: int | None = None
    field: str | None = None
    given: str | None = None
    allowed: Any = None


class RefusedError(ReadmissionApiError):
    """A request that gets an error response."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        problems: tuple[Problem, ...] = (),
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.problems = problems
        self.headers = headers


class PatientRefusedError(ReadmissionApiError):
    """A patient that the model's schema does not allow."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__(problems[0].message)
        self.problems = problems


class BadJsonError(ReadmissionApiError):
    """Text that is not JSON as defined by RFC 8259."""


class BadEncodingError(ReadmissionApiError):
    """Bytes that are not UTF-8."""


class OverloadedError(ReadmissionApiError):
    """The server is overloaded."""

    def __init__(self, message: str = "the server is overloaded; try again in a second") -> None:
        super().__init__(message)


class ModelRefusedError(ReadmissionApiError):
    """A model version that must not serve: `reason` is a short code for metrics, the message says more."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class RegistryUnreachableError(ReadmissionApiError):
    """The tracking server does not respond, or returns an unexpected response."""


class PredictionLogError(ReadmissionApiError):
    """The prediction log cannot be read or written now."""


class SharedFilesError(ReadmissionApiError):
    """The server of the shared files did not do what was requested."""


class SpoolFullError(ReadmissionApiError):
    """The spool is full."""
