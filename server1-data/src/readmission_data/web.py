"""HTTP requests: the certificates that they trust, and their retries."""

import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_exponential

from readmission_data.errors import TransientError

TRIES: Final = 5
LONGEST_PAUSE: Final = 120
"""Maximum `Retry-After` in seconds; a longer one fails the request immediately."""

_BUSY: Final = frozenset(
    {
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.INTERNAL_SERVER_ERROR,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)
_growing: Final = wait_exponential(multiplier=0.5, max=8)
_enough: Final = stop_after_attempt(TRIES)


def trusted() -> ssl.SSLContext:
    """Return the system's certificate authorities: a hospital's own authority is among them."""
    return ssl.create_default_context()


def tries(stop: Callable[[RetryCallState], bool] = _enough) -> Retrying:
    """Return the attempts of a request: it is retried after a `TransientError` or a broken connection.

    The pauses grow, or follow `Retry-After`. The last attempt raises its own error.
    """
    return Retrying(retry=retry_if_exception(_worth_another), wait=_pause, stop=stop, reraise=True)


def raise_if_busy(response: httpx.Response, detail: str = "") -> None:
    """Raise `TransientError` if the server asks for a retry."""
    if response.status_code in _BUSY:
        pause = _retry_after(response.headers.get("Retry-After", ""))
        asked = f" and asks to wait {pause:.0f} s" if pause > LONGEST_PAUSE else ""
        raise TransientError(f"the server answered {response.status_code}{detail}{asked}", pause)


def reason(error: Exception) -> str:
    """Return an error's first line, or its type."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _worth_another(error: BaseException) -> bool:
    if isinstance(error, TransientError):
        return error.pause <= LONGEST_PAUSE
    # An address that httpx cannot request is a transport error too.
    return isinstance(error, httpx.TransportError) and not isinstance(error, httpx.UnsupportedProtocol)


def _pause(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = error.pause if isinstance(error, TransientError) else 0
    return max(asked, _growing(state))


def _retry_after(text: str) -> float:
    """Return the seconds of a `Retry-After`, given as a number or as a date; 0 if there is none."""
    if text.strip().isdecimal():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return 0
    # A date without a time zone is in UTC.
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
