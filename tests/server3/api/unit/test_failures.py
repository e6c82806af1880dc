"""Unexpected errors: one response, counted once, and no patient's value in it."""

import asyncio
import copy
import logging
import threading
from datetime import UTC, datetime

import httpx
import numpy as np
import pytest

from readmission_api.app import create_app
from readmission_api.model_store.store import Serving
from readmission_api.settings import ApiSettings

SECRET = "SECRET-VALUE"


class Session:
    """A graph that fails, or returns something that is not a risk."""

    def __init__(self, answer):
        self.answer = answer

    def run(self, _, inputs):
        if self.answer is None:
            raise RuntimeError(f"unknown category {SECRET!r}")
        return [np.full(len(inputs["numeric"]), self.answer, np.float32)]


@pytest.fixture
def application(tmp_path):
    return create_app(ApiSettings(tracking_uri="http://127.0.0.1:9", state_dir=tmp_path))


def serve(application, predictor, answer):
    broken = copy.copy(predictor)
    broken._session = Session(answer)
    application.parts.store.serving = Serving(broken, "registry", datetime.now(UTC))


def ask(application, method, path, **request):
    async def asked():
        transport = httpx.ASGITransport(application, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            return await asyncio.wait_for(client.request(method, path, **request), 10)

    return asyncio.run(asked())


def value(application, name, **labels):
    return application.parts.instruments.registry.get_sample_value(name, labels) or 0


@pytest.mark.parametrize("answer", [None, float("nan")])
@pytest.mark.parametrize("path", ["/predict", "/predict_batch", "/explain"])
def test_a_failing_graph(application, predictor, patient, caplog, answer, path):
    serve(application, predictor, answer)
    with caplog.at_level(logging.INFO):
        answer = ask(application, "POST", path, json=[patient] if path == "/predict_batch" else patient)
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert answer.headers["content-type"] == "application/problem+json"
    assert value(application, "prediction_errors_total", kind="internal") == 1
    assert value(application, "http_requests_total", route=path, method="POST", status="500") == 1
    assert SECRET not in caplog.text
    assert caplog.messages


@pytest.mark.parametrize(("method", "path"), [("GET", "/model"), ("GET", "/health")])
def test_a_crash_of_any_route_has_the_one_body(application, predictor, monkeypatch, caplog, method, path):
    def crash():
        raise RuntimeError(SECRET)

    serve(application, predictor, 0.5)
    monkeypatch.setattr(type(application.parts.store), "last", property(lambda _: crash()), raising=False)
    monkeypatch.setattr(application.parts, "serving", crash)
    answer = ask(application, method, path)
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert value(application, "prediction_errors_total", kind="internal") == 0
    assert value(application, "http_requests_total", route=path, method=method, status="500") == 1
    assert SECRET not in caplog.text


def test_figures_that_fail_do_not_end_the_looks_at_the_alias(tmp_path, monkeypatch):
    application = create_app(
        ApiSettings(tracking_uri="http://127.0.0.1:9", state_dir=tmp_path, workers=2, reload_seconds=1)
    )
    looks = threading.Semaphore(0)
    monkeypatch.setattr(application.parts.store, "refresh", lambda **_: looks.release())
    monkeypatch.setattr(application.parts.observers, "update_gauges", lambda: 1 / 0)

    async def live():
        async with application.app.api.router.lifespan_context(application.app.api):
            for _ in range(3):
                assert await asyncio.to_thread(looks.acquire, timeout=30)

    asyncio.run(live())


def test_a_swap_forgets_how_far_the_patients_of_the_old_version_were(application, predictor, versions):
    observers, instruments = application.parts.observers, application.parts.instruments
    rows = [predictor.patients.read_value(patient) for patient, _ in versions.exam(versions.one)] * 20
    serve(application, predictor, 0.5)
    serving = application.parts.store.serving.predictor
    application.parts.scoring.many(serving, "r", range(len(rows)), rows)
    observers.update_gauges()
    fields = [field.name for field in predictor.patients.fields]
    assert not np.isnan([value(application, "input_drift_psi", field=name) for name in fields]).all()
    assert not np.isnan(instruments.score_drift._value.get())

    serve(application, predictor, 0.5)
    application.parts.scoring.many(application.parts.store.serving.predictor, "r", [0], rows[:1])
    observers.update_gauges()
    assert np.isnan([value(application, "input_drift_psi", field=name) for name in fields]).all()
    assert np.isnan(instruments.score_drift._value.get())
