"""`POST /reload_model`."""

from http import HTTPStatus

from fastapi import APIRouter, Request, Response

from readmission_api.clients import require
from readmission_api.errors import RefusedError
from readmission_api.routes.answers import json_response, sentence_of
from readmission_api.routes.parts import Parts


def reload_routes(parts: Parts) -> APIRouter:
    """Build the route of reloads."""
    router = APIRouter(tags=["model"])

    @router.post("/reload_model", summary="Check the alias now")
    async def reload_model(request: Request) -> Response:
        require(request.state.client, "reload")
        before = parts.store.serving
        reload = await parts.reloads.look(force=True)
        if reload.result in {"loaded", "unchanged"}:
            return json_response(
                {
                    "result": reload.result,
                    "version": reload.version,
                    "previous": before.predictor.version.version if before else None,
                }
            )
        message = sentence_of(reload.error or "the model can't be reloaded")
        if reload.result == "unreachable":
            raise RefusedError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "registry_unreachable",
                message,
                headers=(("retry-after", "5"),),
            )
        if reload.result == "unset":
            raise RefusedError(HTTPStatus.CONFLICT, "alias_unset", message)
        if reload.result == "failed":
            raise RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, "reload_failed", message)
        raise RefusedError(HTTPStatus.BAD_GATEWAY, "model_refused", message)

    return router
