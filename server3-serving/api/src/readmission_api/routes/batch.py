"""`POST /predict_batch`: a JSON list, or a CSV upload whose answer is streamed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from http import HTTPStatus

import msgspec
from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from readmission_api.clients import require
from readmission_api.errors import PatientRefusedError, Problem, RefusedError
from readmission_api.predictor import json_text
from readmission_api.predictor.patients import Row
from readmission_api.predictor.predictor import Predictor
from readmission_api.routes import answers, bodies
from readmission_api.routes.csv_upload import read_header, score_lines, spool
from readmission_api.routes.parts import Parts
from readmission_api.threads import run

PATH = "/predict_batch"
_ROWS_AT_ONCE = 1_024
"""Rows that a thread takes at a time. Reading them holds the interpreter's lock for some 3 ms, while single
patients wait; the graph runs without it."""


def batch_routes(parts: Parts) -> APIRouter:
    """Build the route of batches."""
    router = APIRouter(tags=["predictions"])

    @router.post(PATH, summary="Predict for many patients")
    async def predict_batch(request: Request) -> Response:
        # Before anything of the body is read.
        require(request.state.client, "predict")
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
    bodies.check_body(dict(request.scope["headers"]), settings.max_batch_bytes)
    parts.admission.check()
    # A client that sends slowly does not hold room.
    body = await parts.bodies.read(request.receive, limit=settings.max_batch_bytes)
    batches, limit = parts.threads.batches, settings.max_patient_bytes
    async with parts.admission.enter():
        patients = await run(batches, split, body)
        if not 1 <= len(patients) <= settings.max_batch_rows:
            raise _invalid_batch(f"Send between 1 and {settings.max_batch_rows} patients.")
        # All rows are read before any is scored: one bad row refuses the list.
        rows: list[Row] = []
        found: list[Problem] = []
        for start in range(0, len(patients), _ROWS_AT_ONCE):
            part = patients[start : start + _ROWS_AT_ONCE]
            rows.extend(await run(batches, read_rows, predictor, part, start, found, limit))
            if len(found) >= answers.MAX_PROBLEMS:
                break
        if found:
            raise answers.invalid_patient(tuple(found))
        written: list[bytes] = []
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            scored = rows[start : start + _ROWS_AT_ONCE]
            written.append(await run(batches, _score, parts, predictor, request_id, start, scored))
    return Response(
        b'{"request_id":%b,%b"count":%d,"predictions":[%b]}'
        % (msgspec.json.encode(request_id), predictor.answer_part, len(rows), b",".join(written)),
        media_type="application/json",
    )


def _score(parts: Parts, predictor: Predictor, request_id: str, first: int, rows: list[Row]) -> bytes:
    risks = parts.scoring.many(predictor, request_id, range(first, first + len(rows)), rows)
    threshold = predictor.threshold
    remarks = predictor.remarks.json
    return b",".join(
        [
            b'{"probability":%.9g,"class":%d%b}' % (risk, risk >= threshold, remarks(row, risk))
            for row, risk in zip(rows, risks, strict=True)
        ]
    )


async def _csv_upload(parts: Parts, request: Request, predictor: Predictor) -> Response:
    settings = parts.settings
    request_id: str = request.scope["state"]["request_id"]
    headers = dict(request.scope["headers"])
    bodies.check_body(headers, settings.max_csv_bytes)
    parts.admission.check()
    async with AsyncExitStack() as held:
        held.enter_context(parts.uploads.reserve(int(headers.get(b"content-length", settings.max_csv_bytes))))
        body = parts.bodies.stream(request.receive, limit=settings.max_csv_bytes)
        upload = held.enter_context(await spool(body))
        header = read_header(upload, predictor)
        await held.enter_async_context(parts.admission.enter())
        until_answered = held.pop_all()

    async def lines() -> AsyncIterator[bytes]:
        steps = score_lines(upload, header, predictor, parts.scoring, request_id)
        while (step := await run(parts.threads.batches, next, steps, None)) is not None:
            yield step

    return _HoldingStream(
        until_answered,
        settings.body_timeout_seconds,
        lines(),
        media_type="text/csv; charset=utf-8",
        headers={
            "x-model": predictor.version.model,
            "x-model-version": predictor.version.version,
            "x-threshold": f"{predictor.threshold:.9g}",
        },
    )


class _HoldingStream(StreamingResponse):
    """A streamed answer that holds its upload and its room until it ends, however it ends."""

    def __init__(
        self,
        held: AsyncExitStack,
        patience: float,
        content: AsyncIterator[bytes],
        *,
        media_type: str,
        headers: dict[str, str],
    ) -> None:
        super().__init__(content, media_type=media_type, headers=headers)
        self._held = held
        self._patience = patience

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_in_time(message: Message) -> None:
            # A client that does not read would keep the room for good.
            async with asyncio.timeout(self._patience):
                await send(message)

        async with self._held:
            try:
                await super().__call__(scope, receive, send_in_time)
            except TimeoutError:
                raise ClientDisconnect from None


def split(body: bytes) -> list[msgspec.Raw]:
    """Return the texts of the patients in a JSON list.

    Raise `RefusedError`, `BadJsonError` or `BadEncodingError`.
    """
    texts = json_text.split(body)
    if texts is None:
        raise _invalid_batch("Send a JSON list of patients.")
    return texts


def read_rows(
    predictor: Predictor, patients: list[msgspec.Raw], first: int, found: list[Problem], limit: int
) -> list[Row]:
    """Return the rows of a part of a list whose first patient has the index `first`.

    Problems go to `found`; a patient's text may be `limit` bytes long.
    """
    together = predictor.patients.read_together(patients)
    if together is not None:
        return together
    rows = []
    for index, patient in enumerate(patients, start=first):
        if len(found) >= answers.MAX_PROBLEMS:
            break
        try:
            rows.append(_read_row(predictor, bytes(patient), limit))
        except PatientRefusedError as error:
            found.extend(msgspec.structs.replace(problem, row=index) for problem in error.problems)
    return rows


def _read_row(predictor: Predictor, patient: bytes, limit: int) -> Row:
    if len(patient) > limit:
        raise PatientRefusedError(
            (Problem(code="too_long", message=f"the patient is longer than {limit} bytes"),)
        )
    return predictor.patients.read(patient)


def _invalid_batch(message: str) -> RefusedError:
    return RefusedError(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_batch", message)
