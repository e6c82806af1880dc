"""The app factory: settings in, ASGI application out. Nothing happens when this module is imported."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI

from readmission_api.http.about import about_routes, package_version
from readmission_api.http.admin import admin_routes
from readmission_api.http.application import Application, add_error_handlers
from readmission_api.http.batch import batch_routes
from readmission_api.http.explain import explain_routes
from readmission_api.http.health import health_routes
from readmission_api.http.model import model_routes
from readmission_api.http.parts import Admission, Parts
from readmission_api.metrics.instruments import Instruments
from readmission_api.model_store.disk_copy import DiskCopy
from readmission_api.model_store.registry import Registry
from readmission_api.model_store.store import ModelStore
from readmission_api.observers import Observers
from readmission_api.scoring import Scoring
from readmission_api.settings import ApiSettings

logger = logging.getLogger(__name__)


def create_app(settings: ApiSettings | None = None) -> Application:
    """Build the inference API; without settings they are read from the environment."""
    parts = _parts(settings or ApiSettings())

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        following = asyncio.create_task(_follow_alias(parts))
        try:
            yield
        finally:
            following.cancel()
            with suppress(asyncio.CancelledError):
                await following

    api = FastAPI(
        title="Readmission API",
        version=package_version(),
        summary="Risk of readmission within 30 days of a diabetic inpatient",
        lifespan=lifespan,
    )
    add_error_handlers(api, parts)
    for routes in (about_routes, health_routes, model_routes, batch_routes, explain_routes, admin_routes):
        api.include_router(routes(parts))
    return Application(api, parts)


def _parts(settings: ApiSettings) -> Parts:
    instruments = Instruments()
    observers = Observers(instruments)
    store = ModelStore(
        Registry(
            settings.tracking_uri, settings.model_name, timeout_seconds=settings.registry_timeout_seconds
        ),
        DiskCopy(settings.state_dir),
        alias=settings.alias,
        shadow_alias=settings.shadow_alias if settings.shadow else None,
        on_reload=observers.reloaded,
    )
    scoring = Scoring(instruments, max_queue=settings.max_queue, on_scored=observers.scored)
    return Parts(
        settings,
        instruments,
        store,
        scoring,
        Admission(settings.max_batches, settings.max_batch_queue),
        observers,
    )


async def _follow_alias(parts: Parts) -> None:
    """Look at the alias, over and over."""
    while True:
        try:
            await asyncio.to_thread(parts.store.refresh)
        except Exception as error:  # the next look may go better; the model in memory serves on
            logger.exception("the alias can't be followed: %s", type(error).__name__)
        await asyncio.sleep(parts.settings.reload_seconds)
