"""The one middleware: it gives each request an id, counts it, and answers if anything fails."""

import re
import secrets
from itertools import count
from time import perf_counter
from typing import Final

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from readmission_api.errors import ReadmissionApiError, RefusedError
from readmission_api.logs import REQUEST_ID, log_crash
from readmission_api.routes import answers
from readmission_api.routes.parts import Parts

PREDICT: Final = "/predict"
_PREDICTING: Final = frozenset({PREDICT, "/predict_batch", "/explain"})
_USABLE_ID: Final = re.compile(rb"[A-Za-z0-9._-]{1,64}")


class RequestIds:
    """Ids that no other process uses: a random prefix and a number. Cheaper than a UUID for each request."""

    def __init__(self) -> None:
        self._prefix = secrets.token_hex(8)
        self._numbers = count(1)

    def next(self) -> str:
        """Return a new id."""
        return f"{self._prefix}-{next(self._numbers):x}"


class Accounting:
    """Wraps the application. All requests, errors and refusals are counted here."""

    def __init__(self, app: ASGIApp, parts: Parts) -> None:
        self.app = app
        self.parts = parts
        self._ids = RequestIds()
        self._clients = parts.clients
        self._audit = parts.audit
        self._instruments = parts.instruments
        self._observe_latency = parts.instruments.latency.observe
        self._count_prediction = parts.instruments.requests.labels(PREDICT, "POST", "200").inc

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or run the application's lifespan."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = perf_counter()
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"")
        request_id = given.decode() if _USABLE_ID.fullmatch(given) else self._ids.next()
        REQUEST_ID.set(request_id)
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        state["client"] = self._clients.identify(headers.get(b"authorization"))
        answer = Answer(send, request_id)
        if b"expect" in headers:
            receive = answer.expecting(receive)
        method: str = scope["method"]
        if method == "HEAD":
            # Every route for GET also answers HEAD; the server omits the body.
            scope = {**scope, "method": "GET"}
        observers = self.parts.observers
        observers.in_flight += 1
        try:
            await self.app(scope, receive, answer.send)
        except ClientDisconnect:
            return
        except ReadmissionApiError as error:
            state["refused"] = await answer.refuse(answers.refusal(error))
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer
            log_crash(error, f"request {request_id}")
            state["refused"] = await answer.refuse(answers.internal())
        finally:
            observers.in_flight -= 1
            self._audit.note(
                scope["path"], request_id, state["client"].name, _peer(scope), headers, answer.status
            )
        if answer.status == 200 and scope["path"] == PREDICT:  # noqa: PLR2004 - OK
            self._count_prediction()
            self._observe_latency(perf_counter() - started)
        else:
            self._count(scope, method, answer.status)

    def _count(self, scope: Scope, method: str, status: int) -> None:
        path = getattr(scope.get("route"), "path", None) or "other"
        self._instruments.requests.labels(path, method, str(status)).inc()
        refused: RefusedError | None = scope["state"].get("refused")
        if refused is None or path not in _PREDICTING:
            return
        self._instruments.errors.labels(refused.code).inc()
        if refused.code == "overloaded":
            self._instruments.shed.labels(path).inc()


def _peer(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else "-"


class Answer:
    """The response to one request, as far as it has been sent."""

    __slots__ = ("_body_unsent", "_request_id", "_send", "status")

    def __init__(self, send: Send, request_id: str) -> None:
        self.status = 0
        self._send = send
        self._request_id = request_id
        self._body_unsent = False

    async def send(self, message: Message) -> None:
        """Send a part of it; its headers carry the request's id."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = [*message.get("headers", ()), (b"x-request-id", self._request_id.encode())]
            if self._body_unsent:
                headers.append((b"connection", b"close"))
            message = {**message, "headers": headers}
        await self._send(message)

    def expecting(self, receive: Receive) -> Receive:
        """Wrap the `receive` of a client that sends its body only when asked to.

        If the body is never requested, the client may send its next request instead of the body, so the
        connection is closed.
        """
        self._body_unsent = True

        async def asked() -> Message:
            self._body_unsent = False
            return await receive()

        return asked

    async def refuse(self, refused: RefusedError) -> RefusedError:
        """Send an error, unless an answer has begun."""
        if not self.status:
            content = answers.body(refused, self._request_id)
            headers = [
                (b"content-type", answers.CONTENT_TYPE.encode()),
                (b"content-length", b"%d" % len(content)),
                *((name.encode(), value.encode()) for name, value in refused.headers),
            ]
            await self.send(
                {"type": "http.response.start", "status": int(refused.status), "headers": headers}
            )
            await self.send({"type": "http.response.body", "body": content})
        return refused
