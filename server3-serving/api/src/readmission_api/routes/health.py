"""Health checks and metrics."""

from http import HTTPStatus

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST

from readmission_api.clients import is_token, unauthorized
from readmission_api.routes.answers import json_response
from readmission_api.routes.parts import Parts
from readmission_api.threads import run


def health_routes(parts: Parts) -> APIRouter:
    """Return the routes for probes and Prometheus."""
    router = APIRouter(tags=["health"])
    settings, store = parts.settings, parts.store

    @router.get("/health/live", summary="Whether the process is alive")
    async def live() -> Response:
        return json_response({"status": "live"})

    @router.get("/health/ready", summary="Whether the API is ready for predictions")
    async def ready() -> Response:
        reason = not_ready()
        serving = store.serving
        state = {
            "status": "not ready" if reason else "ready",
            "model": settings.model_name,
            "version": serving.predictor.version.version if serving else None,
        }
        if reason:
            return json_response({**state, "reason": reason}, HTTPStatus.SERVICE_UNAVAILABLE)
        return json_response(state)

    @router.get("/health", summary="Both, and what is degraded")
    async def health() -> Response:
        reason = not_ready()
        serving, last = store.serving, store.last
        return json_response(
            {
                "live": True,
                "ready": reason is None,
                "model": settings.model_name,
                "version": serving.predictor.version.version if serving else None,
                "reason": reason,
                "source": serving.source if serving else None,
                "stale": last is not None and last.result not in {"loaded", "unchanged"},
                "prediction_log": parts.observers.log_state(),
                "open": parts.clients.open,
                "audit": parts.audit.state,
            },
            HTTPStatus.SERVICE_UNAVAILABLE if reason else HTTPStatus.OK,
        )

    def not_ready() -> str | None:
        return None if store.serving else parts.reason()

    @router.get("/metrics", summary="For Prometheus")
    async def metrics(request: Request) -> Response:
        token = settings.metrics_token
        if token is not None and not is_token(token, dict(request.scope["headers"]).get(b"authorization")):
            raise unauthorized()
        return Response(await run(parts.threads.metrics, exposition), media_type=CONTENT_TYPE_LATEST)

    def exposition() -> bytes:
        parts.observers.update_gauges()
        return parts.instruments.exposition()

    return router
