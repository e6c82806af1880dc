"""The app factory: settings in, ASGI application out. Nothing happens when this module is imported."""

import asyncio
import gc
import sys
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Final

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from readmission_api.audit import AuditTrail
from readmission_api.clients import Clients
from readmission_api.logs import LogContext, log_crash, logger
from readmission_api.metrics.instruments import Instruments
from readmission_api.model_store.disk_copy import DiskCopy
from readmission_api.model_store.registry import Registry
from readmission_api.model_store.shared_copy import SharedCopy
from readmission_api.model_store.store import ModelStore
from readmission_api.observers import Observers
from readmission_api.reloads import Reloads
from readmission_api.routes.about import about_routes, package_version
from readmission_api.routes.accounting import Accounting
from readmission_api.routes.application import Application, add_error_handlers
from readmission_api.routes.batch import batch_routes
from readmission_api.routes.bodies import Bodies
from readmission_api.routes.explain import explain_routes
from readmission_api.routes.health import health_routes
from readmission_api.routes.model import model_routes
from readmission_api.routes.openapi import describe
from readmission_api.routes.outcomes import outcome_routes
from readmission_api.routes.parts import Admission, Parts, UploadSpace
from readmission_api.routes.reload import reload_routes
from readmission_api.scoring import Scoring
from readmission_api.settings import ApiSettings
from readmission_api.shared_files import SharedFiles
from readmission_api.threads import Threads, run

_SWITCH_SECONDS: Final = 0.0005
_FIRST_SECONDS: Final = 5.0
_WORKER_SECONDS: Final = 1.0
_OUTCOME_SECONDS: Final = 60.0
_CLIENT_SECONDS: Final = 2.0
_AUDIT_SECONDS: Final = 5.0


def create_app(settings: ApiSettings | None = None) -> Accounting:
    """Return the inference API; by default, the settings are read from the environment."""
    parts = _parts(settings or ApiSettings())

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        # Background threads yield to requests ten times faster than by default.
        sys.setswitchinterval(_SWITCH_SECONDS)
        context = LogContext(parts.store.serving_version)
        logger.addFilter(context)
        if parts.clients.open:
            logger.warning(
                "OPEN: anybody who reaches this server may ask for predictions; name its clients in "
                "READMISSION_API_CLIENTS_FILE to guard it"
            )
        parts.observers.start()
        parts.audit.start()
        parts.instruments.forget_dead_workers()
        # If the first model loads quickly, it is available before the first request.
        first = asyncio.create_task(_look(parts))
        await asyncio.wait({first}, timeout=_FIRST_SECONDS)
        background = [
            asyncio.create_task(parts.bodies.watch()),
            asyncio.create_task(_follow_alias(parts, first)),
            asyncio.create_task(_follow_outcomes(parts)),
            asyncio.create_task(_follow_clients(parts)),
        ]
        # Objects that exist now stay: searching them for garbage would delay all requests by 0.1 s.
        gc.collect()
        gc.freeze()
        try:
            yield
        finally:
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)
            await asyncio.to_thread(parts.observers.stop)
            await asyncio.to_thread(parts.audit.stop, _AUDIT_SECONDS)
            parts.threads.stop()
            logger.removeFilter(context)

    # The documentation page works on a closed network: its scripts come from a package, and no other server
    # validates the document.
    api = FastAPIOffline(
        title="Readmission API",
        version=package_version(),
        summary="Risk of readmission within 30 days of a diabetic inpatient",
        lifespan=lifespan,
        redoc_url=None,
        swagger_ui_parameters={"validatorUrl": None},
        # A redirect would repeat the scheme and the host that the client sent.
        redirect_slashes=False,
    )
    add_error_handlers(api)
    describe(api, parts)
    for routes in (
        about_routes,
        health_routes,
        model_routes,
        batch_routes,
        explain_routes,
        outcome_routes,
        reload_routes,
    ):
        api.include_router(routes(parts))
    return Accounting(Application(api, parts), parts)


def _parts(settings: ApiSettings) -> Parts:
    instruments = Instruments()
    disk = DiskCopy(settings.state_dir)
    store = ModelStore(
        Registry(
            settings.tracking_uri, settings.model_name, timeout_seconds=settings.registry_timeout_seconds
        ),
        disk,
        SharedCopy(SharedFiles(settings.shared_files_url)) if settings.shared_files_url else None,
        alias=settings.alias,
        shadow_alias=settings.shadow_alias if settings.shadow else None,
        on_reload=instruments.count_reload,
    )
    observers = Observers(settings, store, instruments)
    threads = Threads(batches=settings.max_batches, explanations=settings.max_explanations)
    scoring = Scoring(instruments, max_queue=settings.max_queue, on_scored=observers.scored)
    return Parts(
        settings,
        instruments,
        store,
        disk,
        scoring,
        Admission(settings.max_batches, settings.max_batch_queue),
        Admission(settings.max_explanations, settings.max_explanation_queue),
        UploadSpace(settings.max_upload_bytes),
        Bodies(settings.body_timeout_seconds),
        observers,
        threads,
        Reloads(lambda force: store.refresh(force=force), threads.registry),
        Clients(settings.clients_file, settings.token),
        AuditTrail(settings.audit_url, settings.edge_key),
    )


async def _follow_alias(parts: Parts, first: asyncio.Task[None]) -> None:
    """Check the alias repeatedly."""
    await first
    while True:
        await _pause(parts)
        await _look(parts)


async def _follow_outcomes(parts: Parts) -> None:
    """Measure the quality in production repeatedly: each outcome reaches one process only."""
    while True:
        update = run(parts.threads.background, parts.observers.update_quality)
        await _try(update, "the check of the outcomes")
        await asyncio.sleep(_OUTCOME_SECONDS)


async def _follow_clients(parts: Parts) -> None:
    """Check the file of clients repeatedly."""
    while True:
        await asyncio.sleep(_CLIENT_SECONDS)
        await _try(run(parts.threads.background, parts.clients.follow), "the check of the clients")


async def _look(parts: Parts) -> None:
    await _try(parts.reloads.look(), "the check of the alias")


async def _try(work: Awaitable[object], what: str) -> None:
    """Wait for a background task; log a crash, because the next run may succeed."""
    try:
        await work
    except Exception as error:  # noqa: BLE001 - the tasks that follow the alias must not end
        log_crash(error, what)


async def _pause(parts: Parts) -> None:
    """Wait for the next check: with several workers, until another one has found a new version."""
    settings = parts.settings
    if settings.workers == 1:
        await asyncio.sleep(settings.reload_seconds)
        return
    end = time.monotonic() + settings.reload_seconds
    seen = parts.disk.changed()
    while (left := end - time.monotonic()) > 0 and parts.disk.changed() == seen:
        await asyncio.sleep(min(left, _WORKER_SECONDS))
        update = run(parts.threads.metrics, parts.observers.update_gauges)
        await _try(update, "the update of the gauges")
