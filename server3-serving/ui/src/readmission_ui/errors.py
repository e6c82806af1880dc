"""The errors of the pages: what can go wrong between them and the API.

Each is drawn on the page as a sentence in the reader's language; the message here is for the log.
"""

from readmission_ui.api_answers import Problem


class ReadmissionUIError(Exception):
    """Something that the reader of the page or the person who runs it can mend."""


class ApiAwayError(ReadmissionUIError):
    """The API does not answer."""


class ModelAwayError(ReadmissionUIError):
    """The API answers, but has no model to predict with."""


class BusyError(ReadmissionUIError):
    """The API has more to do than it takes on; it said to try again."""


class TokenRefusedError(ReadmissionUIError):
    """The API wants a token, and the one given is not it."""


class UnexpectedAnswerError(ReadmissionUIError):
    """The API answered with something that these pages do not understand."""


class SchemaTooNewError(ReadmissionUIError):
    """The model's schema is of a major version that these pages cannot draw."""


class RefusedError(ReadmissionUIError):
    """The API refused what it was given, and said why."""

    def __init__(self, code: str, message: str, problems: tuple[Problem, ...] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.problems = problems


class FileRefusedError(ReadmissionUIError):
    """A file holds no patients that could be sent; `key` names the text that says why."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


class PrometheusAwayError(ReadmissionUIError):
    """Prometheus does not answer the monitor's queries."""
