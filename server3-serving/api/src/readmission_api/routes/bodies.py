"""Request bodies within limits of size and time, and what their headers say about them."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from http import HTTPStatus
from typing import Final, Self

from starlette.requests import ClientDisconnect
from starlette.types import Receive

from readmission_api.errors import RefusedError

SLOWEST_BYTES_PER_SECOND: Final = 16 * 1024
"""A body may take one more second for each of these that has arrived."""

_LOOK_SECONDS: Final = 0.5

Headers = Mapping[bytes, bytes]


class Bodies:
    """Reads request bodies and refuses those that are too long or too slow.

    One task watches the bodies that are still arriving. A timer per request would cost more than the model,
    and nearly all bodies are complete when they are first asked for.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._deadlines: dict[asyncio.Task[object], float] = {}
        self._late: set[asyncio.Task[object]] = set()

    async def watch(self) -> None:
        """Interrupt the requests whose bodies are late, until cancelled."""
        while True:
            await asyncio.sleep(min(_LOOK_SECONDS, self._seconds / 2))
            now = time.monotonic()
            for task, deadline in list(self._deadlines.items()):
                if deadline < now:
                    self._late.add(task)
                    task.cancel()

    async def read(self, receive: Receive, *, limit: int) -> bytes:
        """Return a whole body of at most `limit` bytes.

        Raise `RefusedError` if it is longer or late, and `ClientDisconnect`.
        """
        body = _Arriving(self, receive, limit)
        first = await body.receive()
        return first if body.complete else b"".join([first, *[part async for part in body]])

    def stream(self, receive: Receive, *, limit: int) -> AsyncIterator[bytes]:
        """Return the parts of a body as they arrive; they raise as `read` does."""
        return _Arriving(self, receive, limit)

    async def wait(self, receive: Receive, deadline: float) -> tuple[bytes, bool]:
        """Return the next part of a body and whether there is more."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine runs in a task
        self._deadlines[task] = deadline
        try:
            message = await receive()
        except asyncio.CancelledError:
            if task not in self._late:
                raise
            task.uncancel()
            raise _timed_out() from None
        finally:
            del self._deadlines[task]
            self._late.discard(task)
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        return message.get("body", b""), message.get("more_body", False)

    def deadline(self) -> float:
        """Return the moment by which a body that begins now must be complete, if it is empty."""
        return time.monotonic() + self._seconds


class _Arriving:
    """The parts of one body."""

    __slots__ = ("_bodies", "_deadline", "_length", "_limit", "_receive", "complete")

    def __init__(self, bodies: Bodies, receive: Receive, limit: int) -> None:
        self.complete = False
        self._bodies = bodies
        self._receive = receive
        self._limit = limit
        self._length = 0
        self._deadline = bodies.deadline()

    async def receive(self) -> bytes:
        """Return the next part, which may be empty."""
        part, more = await self._bodies.wait(
            self._receive, self._deadline + self._length / SLOWEST_BYTES_PER_SECOND
        )
        self.complete = not more
        self._length += len(part)
        if self._length > self._limit:
            raise too_large(self._limit)
        return part

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if self.complete:
            raise StopAsyncIteration
        return await self.receive()


def check_body(headers: Headers, limit: int) -> None:
    """Refuse a body that is compressed, or whose announced length is above `limit`, before it is read."""
    if headers.get(b"content-encoding", b"identity").strip().lower() != b"identity":
        raise RefusedError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "wrong_content_encoding",
            "Send the body uncompressed, without the header Content-Encoding.",
            headers=(("accept-encoding", "identity"),),
        )
    length = headers.get(b"content-length")
    if length is not None and (not length.isdigit() or int(length) > limit):
        raise too_large(limit)


def too_large(limit: int) -> RefusedError:
    """Return the refusal of a body longer than `limit` bytes."""
    return RefusedError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "body_too_large",
        f"The body is longer than {limit} bytes; send fewer patients at once.",
        headers=(("connection", "close"),),
    )


def _timed_out() -> RefusedError:
    return RefusedError(
        HTTPStatus.REQUEST_TIMEOUT,
        "body_timeout",
        "The body did not arrive in time.",
        headers=(("connection", "close"),),
    )


def require_json(headers: Headers) -> None:
    """Refuse a body that is declared as anything but JSON in UTF-8."""
    content_type = headers.get(b"content-type", b"")
    if content_type != b"application/json":
        media_type, _, parameters = content_type.lower().partition(b";")
        if media_type.strip() != b"application/json":
            raise wrong_content_type("Send JSON, with the header Content-Type: application/json.")
        require_utf8(parameters)


def require_utf8(parameters: bytes) -> None:
    """Refuse a charset other than UTF-8."""
    for parameter in parameters.lower().split(b";"):
        name, _, value = parameter.strip().partition(b"=")
        if name == b"charset" and value.strip(b'" ') not in {b"utf-8", b"utf8"}:
            raise wrong_content_type("Send the body in UTF-8.")


def wrong_content_type(message: str) -> RefusedError:
    """Return the refusal of a body of another content type."""
    return RefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "wrong_content_type", message)
