"""The ASGI application: `POST /predict` directly, everything else through FastAPI."""

from http import HTTPStatus
from typing import Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from readmission_api.errors import Problem, ReadmissionApiError, RefusedError
from readmission_api.routes import answers
from readmission_api.routes.accounting import PREDICT
from readmission_api.routes.parts import Parts
from readmission_api.routes.single import SinglePrediction

_CODES: Final = {404: "not_found", 405: "method_not_allowed"}


class Application:
    """Passes each request to the route of single patients or to FastAPI."""

    def __init__(self, api: FastAPI, parts: Parts) -> None:
        self.api = api
        self._single = SinglePrediction(parts)
        # For methods that the route does not accept: they get FastAPI's response.
        self._route = Route(PREDICT, self._single, methods=["POST"])
        api.router.routes.append(self._route)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or run the application's lifespan."""
        if scope["type"] == "http" and scope["path"] == PREDICT and scope["method"] == "POST":
            scope["route"] = self._route
            await self._single(scope, receive, send)
        else:
            await self.api(scope, receive, send)


def add_error_handlers(api: FastAPI) -> None:
    """Give every error of every route the common body."""

    def answer(request: Request, refused: RefusedError) -> Response:
        request.state.refused = refused
        return Response(
            answers.body(refused, request.state.request_id),
            refused.status,
            media_type=answers.CONTENT_TYPE,
            headers=dict(refused.headers),
        )

    async def own(request: Request, error: Exception) -> Response:
        assert isinstance(error, ReadmissionApiError)  # noqa: S101 - registered for these alone
        return answer(request, answers.refusal(error))

    async def crash(request: Request, _: Exception) -> Response:
        # Raised again after this response: `Accounting` logs and counts it.
        return answer(request, answers.internal())

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
        message = f"{found[0].field}: {found[0].message}."
        refused = RefusedError(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_parameter", message, problems=found)
        return answer(request, refused)

    api.add_exception_handler(Exception, crash)
    api.add_exception_handler(ReadmissionApiError, own)
    api.add_exception_handler(HTTPException, http)
    api.add_exception_handler(RequestValidationError, parameters)
