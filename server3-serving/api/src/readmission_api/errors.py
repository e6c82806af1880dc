"""The errors of the inference API.

Each message is one line that a person can act on, and holds no patient's values.
"""

from typing import Any

import msgspec


class ReadmissionApiError(Exception):
    """Something that the person who runs or calls the API can mend."""


class BadSettingError(ReadmissionApiError):
    """A setting that can't be had here: an address that is taken, a folder that can't be written."""


class Problem(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What is wrong with one field of one patient.

    `given` is the JSON kind of what came, never its value. `allowed` is a list of levels, a range or a
    pattern. `row` is the patient's index in a list, from 0.
    """

    code: str
    message: str
    row: int | None = None
    field: str | None = None
    given: str | None = None
    allowed: Any = None


class RefusedError(ReadmissionApiError):
    """A request that gets an error answer instead of a prediction."""

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
    """Text that is not JSON as RFC 8259 has it."""


class BadEncodingError(ReadmissionApiError):
    """Bytes that are not UTF-8."""


class OverloadedError(ReadmissionApiError):
    """The server has all the work it can take."""


class ModelRefusedError(ReadmissionApiError):
    """A model version that must not serve: `reason` is a short code for metrics, the message says more."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class RegistryUnreachableError(ReadmissionApiError):
    """The tracking server does not answer, or not as one."""


class PredictionLogError(ReadmissionApiError):
    """The table of predictions can't be read or written now."""
