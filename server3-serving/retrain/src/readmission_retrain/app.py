"""The webhook's HTTP interface."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST

from readmission_retrain.airflow import Airflow, Dag
from readmission_retrain.alerts import Delivery
from readmission_retrain.errors import RetrainError, StateError
from readmission_retrain.metrics import Metrics
from readmission_retrain.settings import RetrainSettings
from readmission_retrain.starting import Starter
from readmission_retrain.state import State

_RETRY_SECONDS: Final = "30"

log = logging.getLogger(__name__)


def _utc() -> datetime:
    return datetime.now(UTC)


def create_app(settings: RetrainSettings, now: Callable[[], datetime] = _utc) -> FastAPI:
    """Return the webhook; `now` returns the time in UTC."""
    metrics = Metrics()
    password = settings.airflow_password
    airflow = Airflow(
        settings.airflow_url,
        user=settings.airflow_user,
        password=password.get_secret_value() if password else None,
        timeout=settings.airflow_timeout_seconds,
    )
    cooldown = timedelta(seconds=settings.cooldown_seconds)
    starter = Starter(State(settings.state), Dag(airflow, settings.dag), cooldown, now)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        airflow.close()

    # FastAPI's documentation pages load scripts from the internet, which closed networks cannot reach.
    app = FastAPI(title="Retraining webhook", lifespan=lifespan, docs_url=None, redoc_url=None)

    @app.exception_handler(RequestValidationError)
    def unreadable(_: Request, error: RequestValidationError) -> JSONResponse:
        wrong = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        return JSONResponse({"result": "unreadable", "message": wrong}, HTTPStatus.UNPROCESSABLE_ENTITY)

    @app.get("/health/live")
    def live() -> dict[str, str]:
        return {"status": "live"}

    @app.get("/metrics")
    def exposition() -> Response:
        try:
            last = starter.last()
        except StateError as error:
            log.error("%s", error)  # noqa: TRY400 - the message is complete, a traceback would hide it
        else:
            metrics.last_start.set(last.asked.timestamp() if last else 0)
        return Response(metrics.exposition(), media_type=CONTENT_TYPE_LATEST)

    # Not a coroutine: it waits for the lock and for Airflow in a separate thread.
    @app.post("/alerts")
    def alerts(delivery: Delivery) -> JSONResponse:
        asking = [alert for alert in delivery.alerts if alert.asks_for_training]
        metrics.alerts.labels("yes").inc(len(asking))
        metrics.alerts.labels("no").inc(len(delivery.alerts) - len(asking))
        if not asking:
            metrics.deliveries.labels("ignored").inc()
            return JSONResponse({"result": "ignored", "message": "no alert here asks for a training"})
        try:
            answer = starter.consider(asking)
        except RetrainError as error:
            metrics.deliveries.labels(error.result).inc()
            log.warning("no training was started: %s", error)
            # Alertmanager retries after a 5xx, and gives up after any other error.
            return JSONResponse(
                {"result": error.result, "message": str(error)},
                HTTPStatus.SERVICE_UNAVAILABLE,
                {"Retry-After": _RETRY_SECONDS},
            )
        metrics.deliveries.labels(answer.result).inc()
        log.info("%s: %s", answer.result, answer.message)
        return JSONResponse({"result": answer.result, "message": answer.message})

    return app
