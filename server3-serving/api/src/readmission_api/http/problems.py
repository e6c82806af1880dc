"""The one body of every error answer (`application/problem+json`)."""

import logging
import traceback
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec

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

logger = logging.getLogger(__name__)

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
"""Status, code and seconds after which to try again, by error."""


class ProblemBody(msgspec.Struct, frozen=True):
    """An error answer. `code` is a stable word, `message` one sentence a person can act on."""

    status: int
    code: str
    message: str
    request_id: str
    problems: Sequence[Problem] = ()


def body(refused: RefusedError, request_id: str) -> bytes:
    """Write an error's body."""
    return msgspec.json.encode(
        ProblemBody(
            refused.status, refused.code, refused.message, request_id, refused.problems[:MAX_PROBLEMS]
        )
    )


def refusal(error: ReadmissionApiError) -> RefusedError:
    """Turn any error of this package into an error answer."""
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
    """Spell an error's message as a sentence."""
    return sentence_of(str(error))


def sentence_of(text: str) -> str:
    """Spell a message as a sentence."""
    return f"{text[:1].upper()}{text[1:]}."


def internal() -> RefusedError:
    """Say that the server is at fault."""
    return RefusedError(
        HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "The server failed to answer; its log says more."
    )


def invalid_patient(problems: tuple[Problem, ...]) -> RefusedError:
    """Say what is wrong with a patient."""
    more = len(problems) - 1
    also = f" ({more} more {'problem' if more == 1 else 'problems'})" if more else ""
    return RefusedError(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "invalid_patient",
        f"{problems[0].message}{also}.",
        problems=problems,
    )


def no_model(reason: str) -> RefusedError:
    """Say that nothing can be predicted yet."""
    return RefusedError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "no_model",
        f"No model is loaded: {reason}. Try again shortly.",
        headers=(("retry-after", "5"),),
    )


async def send_problem(send: Any, refused: RefusedError, request_id: str) -> None:  # noqa: ANN401 - ASGI
    """Send an error answer over raw ASGI."""
    content = body(refused, request_id)
    await send(
        {
            "type": "http.response.start",
            "status": int(refused.status),
            "headers": [
                (b"content-type", CONTENT_TYPE.encode()),
                (b"content-length", b"%d" % len(content)),
                (b"x-request-id", request_id.encode()),
                *((name.encode(), value.encode()) for name, value in refused.headers),
            ],
        }
    )
    await send({"type": "http.response.body", "body": content})


def log_crash(error: BaseException, what: str) -> None:
    """Log where an error came from, without its message: that may hold a patient's values.

    `what` failed: a request by its id, or a piece of work.
    """
    frames = traceback.extract_tb(error.__traceback__)
    where = " < ".join(f"{frame.name}:{frame.lineno}" for frame in reversed(frames[-6:]))
    logger.error("%s failed: %s at %s", what, type(error).__name__, where)
