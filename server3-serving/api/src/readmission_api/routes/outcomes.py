"""`POST /outcomes`: what became of predicted patients."""

import asyncio
from http import HTTPStatus
from typing import Final

import msgspec
from fastapi import APIRouter, Request, Response

from readmission_api.errors import PredictionLogError, RefusedError
from readmission_api.prediction_log import outcomes
from readmission_api.prediction_log.outcomes import Outcome
from readmission_api.predictor import json_text
from readmission_api.routes.answers import json_response
from readmission_api.routes.bodies import check_length, require_json
from readmission_api.routes.parts import Parts
from readmission_api.routes.tokens import require_token

_FLUSH_SECONDS: Final = 2.0


def outcome_routes(parts: Parts) -> APIRouter:
    """Build the route of outcomes."""
    router = APIRouter(tags=["predictions"])

    @router.post("/outcomes", summary="Tell what became of predicted patients")
    async def post_outcomes(request: Request) -> Response:
        require_token(parts.settings.token, request)
        headers = dict(request.scope["headers"])
        require_json(headers)
        limit = parts.settings.max_batch_bytes
        check_length(headers, limit)
        body = await parts.bodies.read(request.receive, limit=limit)
        return json_response(await asyncio.to_thread(_record, parts, read_outcomes(body)))

    return router


def _record(parts: Parts, received: list[Outcome]) -> dict[str, object]:
    observers = parts.observers
    if observers.engine is None or observers.writer is None:
        raise RefusedError(
            HTTPStatus.NOT_IMPLEMENTED,
            "no_prediction_log",
            "Outcomes need a prediction log: start the server with READMISSION_API_PREDICTION_LOG_URL.",
        )
    # A prediction of a moment ago may still wait to be written.
    written = observers.writer.flush(_FLUSH_SECONDS)
    recorded = outcomes.record(observers.engine, received)
    if not written and len(recorded) < len({(outcome.request_id, outcome.number) for outcome in received}):
        # Those that are unknown now may be known in a moment. To store an outcome twice does no harm.
        raise PredictionLogError("some predictions wait to be written to the log: send these outcomes again")
    for outcome in recorded:
        parts.instruments.outcomes.labels(str(outcome.readmitted).lower()).inc()
    observers.update_quality()
    known = {outcome.request_id for outcome in recorded}
    unknown = sorted({outcome.request_id for outcome in received} - known)
    return {"recorded": len(recorded), "unknown": unknown}


def read_outcomes(body: bytes) -> list[Outcome]:
    """Read one outcome or a list; raises `RefusedError` and what `json_text.parse` does."""
    value = json_text.parse(body)
    items = value if isinstance(value, list) else [value]
    try:
        if not items or any(isinstance(item, json_text.JsonObject) and item.repeated for item in items):
            raise msgspec.ValidationError  # noqa: TRY301 - a key twice is as wrong as a wrong key
        for item in items:
            # JSON has one kind of number: 4.0 is the integer 4.
            if isinstance(item, dict) and isinstance(number := item.get("number"), float):
                item["number"] = int(number) if number.is_integer() else number
        return msgspec.convert(items, list[Outcome])
    except msgspec.ValidationError:
        raise RefusedError(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "invalid_outcome",
            'Send {"request_id": "...", "readmitted": true or false} or a list of these; '
            '"number" is the place in a batch.',
        ) from None
