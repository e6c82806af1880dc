"""The serving version: its number, its fields and its quality."""

import hashlib
from http import HTTPStatus

from fastapi import APIRouter, Request, Response

from readmission_api.routes.answers import json_response
from readmission_api.routes.parts import Parts


def model_routes(parts: Parts) -> APIRouter:
    """Return the routes that describe the serving version."""
    router = APIRouter(tags=["model"])
    store = parts.store

    @router.get("/model", summary="The version that serves")
    async def model() -> Response:
        serving = parts.serving()
        predictor, schema, last = serving.predictor, serving.predictor.schema, store.last
        challenger = store.challenger
        return json_response(
            {
                "model": predictor.version.model,
                "version": predictor.version.version,
                "alias": predictor.version.alias,
                "run_id": predictor.version.run_id,
                "candidate": schema.candidate,
                "created": schema.created,
                "loaded_at": serving.since,
                "source": serving.source,
                "schema_version": schema.schema_version,
                "threshold": schema.threshold,
                "flagged_fraction": schema.flagged_fraction,
                "manifest_sha256": predictor.version.manifest_sha256,
                "dataset": schema.dataset,
                "synthetic": schema.dataset.synthetic,
                "warning": predictor.warning,
                "open": parts.clients.open,
                "metrics": schema.metrics,
                "pin": store.pin,
                "challenger": {
                    "version": challenger.version.version,
                    "candidate": challenger.schema.candidate,
                }
                if challenger
                else None,
                "reload": {
                    "last_result": last.result if last else None,
                    "last_checked": last.at if last else None,
                    "last_error": last.error if last else None,
                },
            }
        )

    @router.get("/model/schema", summary="The fields of a patient for this version")
    async def schema(request: Request) -> Response:
        text = parts.serving().predictor.schema_text
        tag = f'"{hashlib.sha256(text).hexdigest()}"'
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers={"etag": tag})
        return Response(text, media_type="application/json", headers={"etag": tag})

    @router.get("/model/card", summary="The model card: purpose, quality and limits")
    async def card() -> Response:
        return Response(parts.serving().predictor.card, media_type="text/markdown; charset=utf-8")

    return router
