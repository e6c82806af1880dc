"""`POST /outcomes`: the outcomes of predicted patients."""

from http import HTTPStatus
from typing import Final

import msgspec
from fastapi import APIRouter, Request, Response

from readmission_api.clients import require
from readmission_api.errors import PredictionLogError, RefusedError
from readmission_api.prediction_log import outcomes
from readmission_api.prediction_log.outcomes import Outcome
from readmission_api.predictor import json_text
from readmission_api.routes.answers import json_response
from readmission_api.routes.bodies import check_body, require_json
from readmission_api.routes.parts import Parts
from readmission_api.threads import run

_FLUSH_SECONDS: Final = 2.0
_LONGEST_OUTCOME: Final = 1_024


def outcome_routes(parts: Parts) -> APIRouter:
    """Build the route of outcomes."""
    router = APIRouter(tags=["predictions"])

    @router.post("/outcomes", summary="Report the outcomes of predicted patients")
    async def post_outcomes(request: Request) -> Response:
        require(request.state.client, "outcomes")
        headers = dict(request.scope["headers"])
        require_json(headers)
        limit = parts.settings.max_batch_bytes
        check_body(headers, limit)
        body = await parts.bodies.read(request.receive, limit=limit)
        request_id: str = request.scope["state"]["request_id"]
        return json_response(await run(parts.threads.outcomes, _record, parts, body, request_id))

    return router


def _record(parts: Parts, body: bytes, request_id: str) -> dict[str, object]:
    received = read_outcomes(body)
    observers = parts.observers
    if observers.engine is None or observers.writer is None:
        raise RefusedError(
            HTTPStatus.NOT_IMPLEMENTED,
            "no_prediction_log",
            "Outcomes need a prediction log: start the server with READMISSION_API_PREDICTION_LOG_URL.",
        )
    # A very recent prediction may still be waiting to be written.
    written = observers.writer.flush(_FLUSH_SECONDS)
    statuses = outcomes.record(observers.engine, received, request_id=request_id)
    if not written and "unknown" in statuses:
        # Predictions that are unknown now may be written soon. Storing an outcome twice is harmless.
        raise PredictionLogError("some predictions are not in the log yet: send these outcomes again")
    stored = 0
    for outcome, status in zip(received, statuses, strict=True):
        if outcome.readmitted is not None and status != "unknown":
            stored += 1
            parts.instruments.outcomes.labels(str(outcome.readmitted).lower()).inc()
    observers.update_quality()
    return {
        "recorded": stored,
        "unknown": sorted(
            {
                outcome.request_id
                for outcome, status in zip(received, statuses, strict=True)
                if status == "unknown"
            }
        ),
        "outcomes": [
            {"request_id": outcome.request_id, "number": outcome.number, "status": status}
            for outcome, status in zip(received, statuses, strict=True)
        ],
    }


def read_outcomes(body: bytes) -> list[Outcome]:
    """Return one outcome, or those of a list; raise `RefusedError`, `BadJsonError` or `BadEncodingError`."""
    items = json_text.split(body)
    if items is None:
        items = [msgspec.Raw(body)]
    if not items:
        raise _invalid_outcome()
    return [_read_outcome(bytes(item)) for item in items]


def _read_outcome(item: bytes) -> Outcome:
    if len(item) > _LONGEST_OUTCOME:
        raise _invalid_outcome()
    value = json_text.parse(item)
    if not isinstance(value, json_text.JsonObject) or value.repeated:
        raise _invalid_outcome()
    # JSON has one type of number: 4.0 is the integer 4.
    if isinstance(number := value.get("number"), float) and number.is_integer():
        value["number"] = int(number)
    try:
        return msgspec.convert(value, Outcome)
    except msgspec.ValidationError:
        raise _invalid_outcome() from None


def _invalid_outcome() -> RefusedError:
    return RefusedError(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "invalid_outcome",
        'Send {"request_id": "...", "readmitted": true, false or null} or a list of these; '
        '"number" is the place in a batch.',
    )
