"""`GET /`: what this server is."""

from importlib.metadata import PackageNotFoundError, version
from typing import Final

from fastapi import APIRouter, Response

from readmission_api.routes.answers import json_response
from readmission_api.routes.parts import Parts

SERVICE: Final = "readmission-api"
_WHAT: Final = (
    "Predicts whether a diabetic inpatient is readmitted within 30 days. "
    "A research model: it supports no decision about a patient on its own."
)
_LINKS: Final = {
    "predict": "/predict",
    "predict_batch": "/predict_batch",
    "explain": "/explain",
    "model": "/model",
    "schema": "/model/schema",
    "card": "/model/card",
    "health": "/health",
    "metrics": "/metrics",
    "docs": "/docs",
}


def package_version() -> str:
    """Return the version of this package, or a default for a checkout that is not installed."""
    try:
        return version(SERVICE)
    except PackageNotFoundError:
        return "0.1.0"


def about_routes(parts: Parts) -> APIRouter:
    """Build the route of the root."""
    router = APIRouter(tags=["about"])

    @router.get("/", summary="What this is")
    async def root() -> Response:
        serving = parts.store.serving
        predictor = serving.predictor if serving else None
        return json_response(
            {
                "service": SERVICE,
                "version": package_version(),
                "what": _WHAT,
                "model": parts.settings.model_name,
                "model_version": predictor.version.version if predictor else None,
                "synthetic": predictor.schema.dataset.synthetic if predictor else None,
                "warning": predictor.warning if predictor else None,
                "links": _LINKS,
            }
        )

    return router
