"""The feed's HTTP interface."""

import base64
import hashlib
import logging
import re
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Annotated, Final

from fastapi import APIRouter, Depends, FastAPI, Query, Request
from fastapi.responses import StreamingResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from readmission_feed import problems
from readmission_feed.problems import Problem, ProblemBody
from readmission_feed.settings import FeedSettings
from readmission_feed.source import Kind, Snapshot, Source, SourceError

VERSION: Final = "1.0"

_CURSOR: Final = re.compile(r"([0-9a-f]{64})\.([0-9]{1,15})")
_bearer = HTTPBearer(auto_error=False)

log = logging.getLogger(__name__)


class SourceInfo(BaseModel):
    """A description of the source; `rows` counts data rows, without the header."""

    sha256: str
    kind: Kind
    synthetic: bool
    rows: int
    bytes: int
    header: list[str]
    block_rows: int


def create_app(settings: FeedSettings) -> FastAPI:
    """Return the feed for the file in the settings; the file is read when the app starts."""
    source = Source(settings.dataset)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        try:
            snapshot = await run_in_threadpool(source.snapshot)
            log.info("the source has %d rows (%s), SHA-256 %s", snapshot.rows, snapshot.kind, snapshot.sha256)
        except SourceError as error:
            # The feed keeps running, but is not ready: the file may appear later.
            log.error("%s", error)  # noqa: TRY400 - the message is complete, a traceback would hide it
        yield

    # FastAPI's documentation pages load scripts from the internet, which closed networks cannot reach.
    app = FastAPI(title="Encounter feed", version=VERSION, lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.source = source
    app.state.settings = settings
    problems.install(app)
    app.include_router(_open_routes)
    app.include_router(_data_routes)
    return app


def _source(request: Request) -> Source:
    source: Source = request.app.state.source
    return source


def _settings(request: Request) -> FeedSettings:
    settings: FeedSettings = request.app.state.settings
    return settings


SourceOf = Annotated[Source, Depends(_source)]
SettingsOf = Annotated[FeedSettings, Depends(_settings)]


def _authorised(
    settings: SettingsOf, given: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> None:
    if settings.token is None:
        return
    token = given.credentials if given else ""
    if not secrets.compare_digest(token.encode(), settings.token.get_secret_value().encode()):
        raise Problem(
            HTTPStatus.UNAUTHORIZED, "a valid bearer token is needed", {"WWW-Authenticate": "Bearer"}
        )


_open_routes = APIRouter()
_data_routes = APIRouter(
    prefix="/v1",
    dependencies=[Depends(_authorised)],
    responses={status: {"model": ProblemBody} for status in (401, 503)},
)


@_open_routes.get("/")
def about() -> dict[str, str]:
    """Return what this is, and links."""
    return {
        "name": "encounter feed",
        "version": VERSION,
        "encounters": "/v1/encounters",
        "source": "/v1/source",
        "openapi": "/openapi.json",
    }


@_open_routes.get("/health/live")
def live() -> dict[str, str]:
    """Return 200 while the process runs."""
    return {"status": "live"}


@_open_routes.get("/health/ready", responses={503: {"model": ProblemBody}})
def ready(source: SourceOf) -> dict[str, str]:
    """Return 200 while the source can be read."""
    source.snapshot()
    return {"status": "ready"}


@_data_routes.get("/source")
def describe(source: SourceOf, settings: SettingsOf) -> SourceInfo:
    """Return a description of the current source."""
    snapshot = source.snapshot()
    return SourceInfo(
        sha256=snapshot.sha256,
        kind=snapshot.kind,
        synthetic=snapshot.kind == "synthetic",
        rows=snapshot.rows,
        bytes=snapshot.size,
        header=snapshot.header,
        block_rows=settings.block_rows,
    )


@_data_routes.get(
    "/encounters",
    response_class=StreamingResponse,
    responses={
        200: {"content": {"text/csv": {}}, "description": "The header line and the lines of the block"},
        400: {"model": ProblemBody},
        409: {"model": ProblemBody},
    },
)
def encounters(
    source: SourceOf,
    settings: SettingsOf,
    cursor: Annotated[
        str | None, Query(description="The end of the previous block; without it: the start")
    ] = None,
    limit: Annotated[
        int | None, Query(ge=1, description="Number of rows; at most and by default one block")
    ] = None,
) -> StreamingResponse:
    """Return the block of source lines after the cursor, byte for byte, below the source's header line."""
    if limit is not None and limit > settings.block_rows:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"limit: at most {settings.block_rows}")
    snapshot = source.snapshot()
    first = _first_row(snapshot, cursor)
    end = min(first + (limit or settings.block_rows), snapshot.rows)
    spans = ((0, snapshot.offset(0)), (snapshot.offset(first), snapshot.offset(end)))

    def body() -> Iterator[bytes]:
        for span in spans:
            yield from snapshot.read(*span)

    # Reading the block twice keeps memory use flat, and the client can detect a truncated or changed block.
    digest = hashlib.sha256()
    for data in body():
        digest.update(data)
    return StreamingResponse(
        body(),
        media_type="text/csv; charset=utf-8; header=present",
        headers={
            "Content-Length": str(sum(stop - start for start, stop in spans)),
            "Content-Digest": f"sha-256=:{base64.b64encode(digest.digest()).decode()}:",
            "Feed-Source-SHA256": snapshot.sha256,
            "Feed-Source-Kind": snapshot.kind,
            "Feed-Source-Rows": str(snapshot.rows),
            "Feed-First-Row": str(first),
            "Feed-Rows": str(end - first),
            "Feed-Next-Cursor": f"{snapshot.sha256}.{end}",
            "Feed-Exhausted": "true" if end == snapshot.rows else "false",
        },
    )


def _first_row(snapshot: Snapshot, cursor: str | None) -> int:
    if cursor is None:
        return 0
    match = _CURSOR.fullmatch(cursor)
    if match is None:
        raise Problem(HTTPStatus.BAD_REQUEST, "cursor: not issued by this feed")
    sha256, row = match[1], int(match[2])
    if sha256 != snapshot.sha256:
        raise Problem(HTTPStatus.CONFLICT, "the source has changed since the cursor was issued; start again")
    if row > snapshot.rows:
        raise Problem(HTTPStatus.BAD_REQUEST, f"cursor: beyond the source's {snapshot.rows} rows")
    return row
