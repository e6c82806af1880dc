"""The connection, where uvicorn's own leaves something to wish for.

A client that is slow to send its headers is cut off, bytes that are not HTTP get the one error body, and at
shutdown an idle connection gets a moment for a request that is already on its way. The route of single
patients may take a body that has come and write its answer in one step (`Exchange`).
"""

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from readmission_api.errors import RefusedError
from readmission_api.http import problems

if TYPE_CHECKING:
    from readmission_api.http.application import Application

EXCHANGE: Final = "readmission.exchange"
"""The key of a request's `Exchange` in its ASGI scope; other servers give none."""
_GRACE_SECONDS: Final = 0.5


class Exchange:
    """A request and its answer without ASGI's messages, which cost more than reading a patient."""

    __slots__ = ("_cycle",)

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle

    def body(self) -> bytes | None:
        """Return the body where all of it is here: None where it must be waited for by `receive`."""
        cycle = self._cycle
        if cycle.more_body or cycle.disconnected or cycle.waiting_for_100_continue:
            return None
        return bytes(cycle.body)

    def answer(self, content: bytes) -> bool:
        """Write an answer of status 200 in JSON: False where it must go by `send`."""
        cycle = self._cycle
        if cycle.flow.write_paused or cycle.disconnected or cycle.response_started:
            return False
        cycle.response_started = cycle.response_complete = True
        cycle.transport.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n%b\r\n%b"
            % (len(content), b"" if cycle.keep_alive else b"connection: close\r\n", content)
        )
        cycle.message_event.set()
        if not cycle.keep_alive:
            cycle.transport.close()
        cycle.on_response()
        return True


class Connection(HttpToolsProtocol):
    """One connection of a client."""

    _patience: float
    _watch: asyncio.TimerHandle | None = None
    _began: float | None = None
    _draining = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to watch the headers of the first request."""
        super().connection_made(transport)
        application = cast("Application", self.app)
        self._patience = application.parts.settings.header_timeout_seconds
        self._began = self.loop.time()
        self._watch = self.loop.call_later(self._patience, self._check_headers)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop watching."""
        if self._watch is not None:
            self._watch.cancel()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Note when a request began to come."""
        self._began = self.loop.time()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Note that its headers are there."""
        self._began = None
        super().on_headers_complete()
        if self._draining:
            self.cycle.keep_alive = False
        self.cycle.scope[EXCHANGE] = Exchange(self.cycle)  # type: ignore[typeddict-unknown-key]

    def shutdown(self) -> None:
        """End after the running request; where none runs, after a moment in which one may still come."""
        self._draining = True
        if self._idle():
            self.loop.call_later(_GRACE_SECONDS, super().shutdown)
        else:
            super().shutdown()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's wording is not ours
        """Answer bytes that are not HTTP."""
        self._refuse(RefusedError(HTTPStatus.BAD_REQUEST, "bad_http", "The request is not valid HTTP."))

    def _idle(self) -> bool:
        # uvicorn's annotation hides that there is no cycle before the first request.
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is None or cycle.response_complete

    def _check_headers(self) -> None:
        if self.transport.is_closing():
            return
        late = self._began is not None and self.loop.time() - self._began >= self._patience
        if late:
            self._refuse(
                RefusedError(
                    HTTPStatus.REQUEST_TIMEOUT, "header_timeout", "The request's headers did not arrive."
                )
            )
        else:
            self._watch = self.loop.call_later(self._patience, self._check_headers)

    def _refuse(self, refused: RefusedError) -> None:
        content = problems.body(refused, "-")
        self.transport.write(
            b"%bcontent-type: %b\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b"
            % (STATUS_LINE[refused.status], problems.CONTENT_TYPE.encode(), len(content), content)
        )
        self.transport.close()
