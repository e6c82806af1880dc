"""All errors that a client can get, as `application/problem+json` (RFC 9457)."""

import logging
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from readmission_feed.source import SourceError

log = logging.getLogger(__name__)


class ProblemBody(BaseModel):
    """A problem: the status, its name, and one line about what to do."""

    title: str
    status: int
    detail: str


class Problem(Exception):  # noqa: N818 - RFC 9457 calls it so
    """A request that the feed refuses."""

    def __init__(self, status: HTTPStatus, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers


def install(app: FastAPI) -> None:
    """Make `app` return every error in this form."""

    @app.exception_handler(Problem)
    async def problem(_: Request, error: Problem) -> JSONResponse:
        return _answer(error.status, error.detail, error.headers)

    @app.exception_handler(SourceError)
    async def unreadable(_: Request, error: SourceError) -> JSONResponse:
        # Clients do not need the operator's paths.
        log.error("%s", error)
        return _answer(HTTPStatus.SERVICE_UNAVAILABLE, "the source cannot be read now", {"Retry-After": "10"})

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        wrong = "; ".join(f"{item['loc'][-1]}: {item['msg']}" for item in error.errors())
        return _answer(HTTPStatus.UNPROCESSABLE_ENTITY, wrong)

    @app.exception_handler(HTTPException)
    async def refused(_: Request, error: HTTPException) -> JSONResponse:
        return _answer(HTTPStatus(error.status_code), str(error.detail), dict(error.headers or {}))


def _answer(status: HTTPStatus, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    body = ProblemBody(title=status.phrase, status=status, detail=detail)
    return JSONResponse(body.model_dump(), status, headers, "application/problem+json")
