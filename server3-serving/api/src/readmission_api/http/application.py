"""The ASGI application: `POST /predict` by the short way, everything else through FastAPI."""

from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Route

from readmission_api.errors import Problem, ReadmissionApiError, RefusedError
from readmission_api.http import problems
from readmission_api.http.bodies import Headers
from readmission_api.http.parts import Parts
from readmission_api.http.protocol import EXCHANGE
from readmission_api.http.single import PATH, SinglePrediction

_CODES: Final = {404: "not_found", 405: "method_not_allowed"}
_PREDICTING: Final = {PATH, "/predict_batch", "/explain"}


class Application:
    """Wraps the FastAPI app: request ids, counting, and an answer whatever happens."""

    def __init__(self, api: FastAPI, parts: Parts) -> None:
        self.api = api
        self.parts = parts
        self._single = SinglePrediction(
            parts.settings, parts.store, parts.scoring, parts.instruments, parts.request_ids
        )
        # For the methods that it does not take: they get FastAPI's answer.
        api.router.routes.append(Route(PATH, self._single, methods=["POST"]))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI
        """Answer one request, or run the app's lifespan."""
        if scope["type"] != "http":
            await self.api(scope, receive, send)
            return
        # Taken out: an exchange knows its scope, and a circle would be left to the garbage collector.
        exchange = scope.pop(EXCHANGE, None)
        observers = self.parts.observers
        observers.in_flight += 1
        try:
            if scope["path"] == PATH and scope["method"] == "POST":
                await self._single(scope, receive, send, exchange)
            else:
                await self._other(scope, receive, send)
        finally:
            observers.in_flight -= 1

    async def _other(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401
        request_id = Headers(scope["headers"]).request_id or self.parts.request_ids.next()
        scope.setdefault("state", {})["request_id"] = request_id
        status = 0
        crashed = False

        async def counted(message: Any) -> None:  # noqa: ANN401
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [*message.get("headers", ()), (b"x-request-id", request_id.encode())]
                message = {**message, "headers": headers}
            await send(message)

        try:
            await self.api(scope, receive, counted)
        except ClientDisconnect:
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer
            problems.log_crash(error, f"request {request_id}")
            crashed = True
            if not status:
                status = 500
                await problems.send_problem(send, problems.internal(), request_id)
        route = scope.get("route")
        path = getattr(route, "path", None) or "other"
        if crashed and path in _PREDICTING:
            self.parts.instruments.errors.labels("internal").inc()
        self.parts.instruments.requests.labels(path, scope["method"], str(status)).inc()


def add_error_handlers(api: FastAPI, parts: Parts) -> None:
    """Give every error of every route the one body."""

    def answer(request: Request, refused: RefusedError) -> Response:
        path = getattr(request.scope.get("route"), "path", None)
        if path in _PREDICTING:
            parts.instruments.errors.labels(refused.code).inc()
            if refused.code == "overloaded":
                parts.instruments.shed.labels(path).inc()
        return written(request, refused)

    def written(request: Request, refused: RefusedError) -> Response:
        return Response(
            problems.body(refused, request.scope["state"]["request_id"]),
            refused.status,
            media_type=problems.CONTENT_TYPE,
            headers=dict(refused.headers),
        )

    async def own(request: Request, error: Exception) -> Response:
        assert isinstance(error, ReadmissionApiError)  # noqa: S101 - registered for these alone
        return answer(request, problems.refusal(error))

    async def crash(request: Request, _: Exception) -> Response:
        # Raised again after this answer: `Application` logs and counts it.
        return written(request, problems.internal())

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101
        refused = RefusedError(
            error.status_code,
            _CODES.get(error.status_code, "http_error"),
            f"{error.detail}.",
            headers=tuple((error.headers or {}).items()),
        )
        return answer(request, refused)

    async def parameters(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101
        found = tuple(
            Problem(code="wrong_parameter", field=str(one["loc"][-1]), message=str(one["msg"]).lower())
            for one in error.errors()
        )
        refused = RefusedError(
            422, "invalid_parameter", f"{found[0].field}: {found[0].message}.", problems=found
        )
        return answer(request, refused)

    api.add_exception_handler(Exception, crash)
    api.add_exception_handler(ReadmissionApiError, own)
    api.add_exception_handler(HTTPException, http)
    api.add_exception_handler(RequestValidationError, parameters)
