"""JSON responses, and the common body of every error (`application/problem+json`)."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec
from fastapi import Response

from readmission_api.errors import (
    BadEncodingError,
    BadJsonError,
    ModelRefusedError,
    OverloadedError,
    PatientRefusedError,
    PredictionLogError,
    Problem,
    ReadmissionApiError,
    RefusedError,
    RegistryUnreachableError,
)
from readmission_api.logs import logger

CONTENT_TYPE: Final = "application/problem+json"
MAX_PROBLEMS: Final = 100

_ANSWERS: Final[dict[type[ReadmissionApiError], tuple[HTTPStatus, str, str]]] = {
    BadJsonError: (HTTPStatus.BAD_REQUEST, "bad_json", ""),
    BadEncodingError: (HTTPStatus.BAD_REQUEST, "bad_encoding", ""),
    OverloadedError: (HTTPStatus.SERVICE_UNAVAILABLE, "overloaded", "1"),
    RegistryUnreachableError: (HTTPStatus.SERVICE_UNAVAILABLE, "registry_unreachable", "5"),
    ModelRefusedError: (HTTPStatus.BAD_GATEWAY, "model_refused", ""),
    PredictionLogError: (HTTPStatus.SERVICE_UNAVAILABLE, "prediction_log_unavailable", "5"),
}
"""Status, code and seconds until a retry, by error."""


class ProblemBody(msgspec.Struct, frozen=True):
    """An error response: RFC 9457's members, and those of this API.

    `code` is a stable word, `detail` one sentence that a person can act on. `message` repeats it for clients
    that were written before `detail`.
    """

    title: str
    status: int
    detail: str
    code: str
    message: str
    request_id: str
    problems: Sequence[Problem] = ()


def json_response(value: Any, status: int = HTTPStatus.OK) -> Response:  # noqa: ANN401 - JSON is anything
    """Return a value as a JSON response."""
    return Response(msgspec.json.encode(value), status, media_type="application/json")


def body(refused: RefusedError, request_id: str) -> bytes:
    """Return the body of an error."""
    return msgspec.json.encode(
        ProblemBody(
            HTTPStatus(refused.status).phrase,
            refused.status,
            refused.message,
            refused.code,
            refused.message,
            request_id,
            refused.problems[:MAX_PROBLEMS],
        )
    )


def refusal(error: ReadmissionApiError) -> RefusedError:
    """Return the refusal for an error of this package."""
    if isinstance(error, RefusedError):
        return error
    if isinstance(error, PatientRefusedError):
        return invalid_patient(error.problems)
    for kind, (status, code, again) in _ANSWERS.items():
        if isinstance(error, kind):
            headers = (("retry-after", again),) if again else ()
            return RefusedError(status, code, sentence(error), headers=headers)
    logger.error("%s", error)
    return internal()


def sentence(error: ReadmissionApiError) -> str:
    """Return an error's message as a sentence."""
    return sentence_of(str(error))


def sentence_of(text: str) -> str:
    """Return a message as a sentence."""
    return f"{text[:1].upper()}{text[1:]}."


def internal() -> RefusedError:
    """Return the refusal for an internal error."""
    return RefusedError(
        HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "The server failed to answer; see its log."
    )


def invalid_patient(problems: tuple[Problem, ...]) -> RefusedError:
    """Return the refusal of a patient."""
    more = len(problems) - 1
    also = f" ({more} more {'problem' if more == 1 else 'problems'})" if more else ""
    return RefusedError(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "invalid_patient",
        f"{problems[0].message}{also}.",
        problems=problems,
    )


def no_model(reason: str) -> RefusedError:
    """Return the refusal while no model is loaded."""
    return RefusedError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "no_model",
        f"No model is loaded: {reason}. Try again shortly.",
        headers=(("retry-after", "5"),),
    )
