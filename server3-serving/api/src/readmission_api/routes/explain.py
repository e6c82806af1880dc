"""`POST /explain`: which fields moved a patient's risk."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from readmission_api.clients import require
from readmission_api.predictor.explanation import explain
from readmission_api.routes.answers import json_response
from readmission_api.routes.bodies import check_body, require_json
from readmission_api.routes.parts import Parts
from readmission_api.threads import run

PATH = "/explain"


def explain_routes(parts: Parts) -> APIRouter:
    """Build the route of explanations."""
    router = APIRouter(tags=["predictions"])

    @router.post(PATH, summary="Explain which fields moved one patient's risk")
    async def explain_patient(
        request: Request,
        samples: Annotated[
            int, Query(ge=2, le=1024, multiple_of=2, description="Number of sampled orders of the fields")
        ] = 64,
        seed: Annotated[int, Query(ge=0, le=2**32 - 1, description="Equal seeds give equal answers")] = 0,
    ) -> Response:
        require(request.state.client, "predict")
        headers = dict(request.scope["headers"])
        require_json(headers)
        limit = parts.settings.max_patient_bytes
        check_body(headers, limit)
        predictor = parts.serving().predictor
        parts.explaining.check()
        body = await parts.bodies.read(request.receive, limit=limit)
        row = predictor.patients.read(body)
        async with parts.explaining.enter():
            explanation = await run(
                parts.threads.explanations, partial(explain, predictor, row, samples=samples, seed=seed)
            )
        return json_response(
            {
                "request_id": request.scope["state"]["request_id"],
                "model": predictor.version.model,
                "version": predictor.version.version,
                "threshold": predictor.threshold,
                "probability": explanation.probability,
                "class": int(explanation.probability >= predictor.threshold),
                "reference_probability": explanation.reference_probability,
                "contributions": explanation.contributions,
                "samples": samples,
                "seed": seed,
                **({"warning": predictor.warning} if predictor.warning else {}),
                **predictor.remarks.members(row, explanation.probability),
            }
        )

    return router
