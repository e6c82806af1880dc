"""Request bodies within limits of length and time, and what their headers say of them."""

import asyncio
import re
import secrets
from collections.abc import AsyncIterator, Iterable
from http import HTTPStatus
from itertools import count
from typing import Any, Final

from starlette.requests import ClientDisconnect

from readmission_api.errors import RefusedError

_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._-]{1,64}")


class RequestIds:
    """Ids that no other process gives: a random start, then a number. Cheaper than a UUID each."""

    def __init__(self) -> None:
        self._prefix = secrets.token_hex(8)
        self._numbers = count(1)

    def next(self) -> str:
        """Make a new id."""
        return f"{self._prefix}-{next(self._numbers):x}"


class Headers:
    """The headers that matter here, read in one pass.

    `request_id` is the client's own where it sent a usable one. Raises `RefusedError` for a content length
    that is above `limit` or no number.
    """

    __slots__ = ("content_type", "request_id")

    def __init__(self, raw: Iterable[tuple[bytes, bytes]]) -> None:
        self.content_type = b""
        self.request_id: str | None = None
        for name, value in raw:
            if name == b"content-type":
                self.content_type = value
            elif name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
                self.request_id = value.decode()


def check_length(raw: Iterable[tuple[bytes, bytes]], limit: int) -> None:
    """Refuse a body whose announced length is above `limit` before any of it is read."""
    for name, value in raw:
        if name == b"content-length" and (not value.isdigit() or int(value) > limit):
            raise too_large(limit)


def check_size(body: bytes, limit: int) -> None:
    """Refuse a body that is longer than `limit`."""
    if len(body) > limit:
        raise too_large(limit)


def too_large(limit: int) -> RefusedError:
    """Say how long a body may be."""
    return RefusedError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "body_too_large",
        f"The body is longer than {limit} bytes; send fewer patients at once.",
        headers=(("connection", "close"),),
    )


def timed_out(seconds: float) -> RefusedError:
    """Say that the body did not come."""
    return RefusedError(
        HTTPStatus.REQUEST_TIMEOUT,
        "body_timeout",
        f"The body did not arrive: nothing came for {seconds:g} seconds.",
        headers=(("connection", "close"),),
    )


def require_json(content_type: bytes) -> None:
    """Refuse a body that says it is something else than JSON in UTF-8."""
    if content_type == b"application/json":
        return
    media_type, _, parameters = content_type.lower().partition(b";")
    if media_type.strip() != b"application/json":
        raise RefusedError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "wrong_content_type",
            "Send JSON, with the header Content-Type: application/json.",
        )
    require_utf8(parameters)


def require_utf8(parameters: bytes) -> None:
    """Refuse a charset other than UTF-8."""
    for parameter in parameters.lower().split(b";"):
        name, _, value = parameter.strip().partition(b"=")
        if name == b"charset" and value.strip(b'" ') not in {b"utf-8", b"utf8"}:
            raise RefusedError(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                "wrong_content_type",
                "Send the body in UTF-8.",
            )


async def read_body(receive: Any, *, limit: int, timeout: float) -> bytes:  # noqa: ANN401, ASYNC109 - ASGI
    """Read a whole body.

    Raises `RefusedError` where it is longer than `limit` bytes or pauses for `timeout` seconds, and
    `ClientDisconnect`.
    """
    try:
        async with asyncio.timeout(timeout):
            message = await receive()
    except TimeoutError:
        raise timed_out(timeout) from None
    if message["type"] == "http.disconnect":
        raise ClientDisconnect
    body: bytes = message.get("body", b"")
    if not message.get("more_body", False):
        check_size(body, limit)
        return body
    rest = stream_body(receive, limit=limit, timeout=timeout, length=len(body))
    return b"".join([body, *[part async for part in rest]])


async def stream_body(
    receive: Any,  # noqa: ANN401 - ASGI
    *,
    limit: int,
    timeout: float,  # noqa: ASYNC109
    length: int = 0,
) -> AsyncIterator[bytes]:
    """Yield a body's parts as they come, after `length` bytes of it; raises as `read_body` does."""
    more = True
    while more:
        try:
            async with asyncio.timeout(timeout):
                message = await receive()
        except TimeoutError:
            raise timed_out(timeout) from None
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        part: bytes = message.get("body", b"")
        length += len(part)
        if length > limit:
            raise too_large(limit)
        if part:
            yield part
        more = message.get("more_body", False)
