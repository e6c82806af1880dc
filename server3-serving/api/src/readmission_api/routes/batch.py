"""`POST /predict_batch`: a JSON list, or a CSV upload whose answer is streamed."""

import asyncio
from collections.abc import AsyncIterator
from http import HTTPStatus

import msgspec
from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from readmission_api.errors import PatientRefusedError, Problem, RefusedError
from readmission_api.predictor import json_text
from readmission_api.predictor.patients import Row
from readmission_api.predictor.predictor import Predictor
from readmission_api.routes import answers, bodies
from readmission_api.routes.csv_upload import read_header, score_lines, spool
from readmission_api.routes.parts import Admission, Parts

PATH = "/predict_batch"
_ROWS_AT_ONCE = 1_024
"""Rows that a thread takes at a time. Reading them holds the interpreter's lock for some 3 ms, while single
patients wait; the graph runs without it."""


def batch_routes(parts: Parts) -> APIRouter:
    """Build the route of batches."""
    router = APIRouter(tags=["predictions"])

    @router.post(PATH, summary="Predict for many patients")
    async def predict_batch(request: Request) -> Response:
        content_type = dict(request.scope["headers"]).get(b"content-type", b"").lower()
        media_type, _, parameters = content_type.partition(b";")
        predictor = parts.serving().predictor
        kinds = {b"text/csv": _csv_upload, b"application/json": _json_list}
        answer = kinds.get(media_type.strip())
        if answer is None:
            raise bodies.wrong_content_type("Send a JSON list (application/json) or a CSV file (text/csv).")
        bodies.require_utf8(parameters)
        return await answer(parts, request, predictor)

    return router


async def _json_list(parts: Parts, request: Request, predictor: Predictor) -> Response:
    settings = parts.settings
    request_id: str = request.scope["state"]["request_id"]
    bodies.check_length(dict(request.scope["headers"]), settings.max_batch_bytes)
    parts.admission.check()
    # A client that is slow to send holds no room.
    body = await parts.bodies.read(request.receive, limit=settings.max_batch_bytes)
    async with parts.admission.enter():
        patients = await asyncio.to_thread(split, body)
        if not 1 <= len(patients) <= settings.max_batch_rows:
            raise _invalid_batch(f"Send between 1 and {settings.max_batch_rows} patients.")
        # All rows are read before any is scored: one bad row refuses the list.
        rows: list[Row] = []
        found: list[Problem] = []
        for start in range(0, len(patients), _ROWS_AT_ONCE):
            part = patients[start : start + _ROWS_AT_ONCE]
            rows.extend(await asyncio.to_thread(read_rows, predictor, part, start, found))
            if len(found) >= answers.MAX_PROBLEMS:
                break
        if found:
            raise answers.invalid_patient(tuple(found))
        written: list[bytes] = []
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            scored = rows[start : start + _ROWS_AT_ONCE]
            written.append(await asyncio.to_thread(_score, parts, predictor, request_id, start, scored))
    return Response(
        b'{"request_id":%b,%b"count":%d,"predictions":[%b]}'
        % (msgspec.json.encode(request_id), predictor.answer_part, len(rows), b",".join(written)),
        media_type="application/json",
    )


def _score(parts: Parts, predictor: Predictor, request_id: str, first: int, rows: list[Row]) -> bytes:
    risks = parts.scoring.many(predictor, request_id, range(first, first + len(rows)), rows)
    threshold = predictor.threshold
    return b",".join([b'{"probability":%.9g,"class":%d}' % (risk, risk >= threshold) for risk in risks])


async def _csv_upload(parts: Parts, request: Request, predictor: Predictor) -> Response:
    settings = parts.settings
    request_id: str = request.scope["state"]["request_id"]
    bodies.check_length(dict(request.scope["headers"]), settings.max_csv_bytes)
    parts.admission.check()
    upload = await spool(parts.bodies.stream(request.receive, limit=settings.max_csv_bytes))
    try:
        header = read_header(upload, predictor)
        await parts.admission.acquire()
    except BaseException:
        upload.close()
        raise

    async def lines() -> AsyncIterator[bytes]:
        with upload:
            steps = score_lines(upload, header, predictor, parts.scoring, request_id)
            while (step := await asyncio.to_thread(next, steps, None)) is not None:
                yield step

    return _AdmittedStream(
        parts.admission,
        settings.body_timeout_seconds,
        lines(),
        media_type="text/csv; charset=utf-8",
        headers={
            "x-model": predictor.version.model,
            "x-model-version": predictor.version.version,
            "x-threshold": f"{predictor.threshold:.9g}",
        },
    )


class _AdmittedStream(StreamingResponse):
    """A streamed answer that gives its room back when it ends, however it ends."""

    def __init__(
        self,
        admission: Admission,
        patience: float,
        content: AsyncIterator[bytes],
        *,
        media_type: str,
        headers: dict[str, str],
    ) -> None:
        super().__init__(content, media_type=media_type, headers=headers)
        self._admission = admission
        self._patience = patience

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_in_time(message: Message) -> None:
            # A client that does not read would keep the room for good.
            async with asyncio.timeout(self._patience):
                await send(message)

        try:
            await super().__call__(scope, receive, send_in_time)
        except TimeoutError:
            raise ClientDisconnect from None
        finally:
            self._admission.release()


def split(body: bytes) -> list[msgspec.Raw]:
    """Split a JSON list into its patients' texts; raises what `json_text.parse` does, and `RefusedError`."""
    try:
        return msgspec.json.decode(body, type=list[msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        if isinstance(json_text.parse(body), list):
            raise RefusedError(HTTPStatus.BAD_REQUEST, "bad_json", "The body is not JSON.") from None
        raise _invalid_batch("Send a JSON list of patients.") from None


def read_rows(
    predictor: Predictor, patients: list[msgspec.Raw], first: int, found: list[Problem]
) -> list[Row]:
    """Read a part of a list whose first patient is number `first`; problems go to `found`."""
    together = predictor.patients.read_together(patients)
    if together is not None:
        return together
    rows = []
    for index, patient in enumerate(patients, start=first):
        try:
            rows.append(predictor.patients.read(patient))
        except PatientRefusedError as error:
            found.extend(msgspec.structs.replace(problem, row=index) for problem in error.problems)
    return rows


def _invalid_batch(message: str) -> RefusedError:
    return RefusedError(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_batch", message)
