"""Outcomes, in an app whose prediction log is a file of SQLite."""

import asyncio
import threading
from collections.abc import Iterator
from types import SimpleNamespace

import httpx
import pytest

from readmission_api import app as app_module
from readmission_api.app import create_app
from readmission_api.prediction_log import outcomes
from readmission_api.prediction_log.outcomes import Outcome
from readmission_api.prediction_log.tables import create_tables
from readmission_api.predictor.predictor import ModelVersion
from readmission_api.routes.accounting import Accounting
from readmission_api.scored import Scored
from readmission_api.settings import ApiSettings


def of_version(version):
    return SimpleNamespace(
        version=ModelVersion("readmission", version, "production", version * 8),
        patients=SimpleNamespace(names=["age"]),
        threshold=0.5,
    )


def scored(version, risks, *, prefix):
    ids = [f"{prefix}{number}" for number in range(len(risks))]
    return Scored(of_version(version), ids, [0] * len(ids), [(5,)] * len(ids), risks, 0.0)


def told(readmitted, *, prefix):
    return [Outcome(f"{prefix}{number}", value) for number, value in enumerate(readmitted)]


@pytest.fixture
def app(tmp_path) -> Iterator[Accounting]:
    """An app whose writer runs in a thread once it is started, and not before."""
    url = f"sqlite:///{tmp_path / 'log.db'}"
    app = create_app(
        ApiSettings(prediction_log_url=url, state_dir=tmp_path, tracking_uri="http://127.0.0.1:9")
    )
    create_tables(app.parts.observers.engine)
    yield app
    app.parts.observers.engine.dispose()


def serve(app, version):
    app.parts.store.serving = SimpleNamespace(predictor=of_version(version))


def quality(app):
    instruments = app.parts.instruments
    return [
        sample.value
        for gauge in (instruments.outcome_auc, instruments.outcome_rows)
        for sample in next(iter(gauge.collect())).samples
    ]


def write(app, part):
    writer = app.parts.observers.writer
    writer.offer(part)
    writer._write_all()


def post(app, body):
    async def request():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://a") as client:
            return await client.post("/outcomes", json=body)

    return asyncio.run(request())


def test_the_version_that_serves_is_judged_by_its_own_outcomes(app):
    observers = app.parts.observers
    write(app, scored("2", [0.9, 0.8, 0.2, 0.1] * 50, prefix="old"))
    outcomes.record(observers.engine, told([False, True] * 100, prefix="old"))
    serve(app, "2")
    observers.update_quality()
    assert quality(app) == [pytest.approx(0.25), 200]

    serve(app, "5")
    observers.update_quality()
    assert quality(app) == [pytest.approx(float("nan"), nan_ok=True), 0]
    write(app, scored("5", [0.9] * 90 + [0.1] * 210, prefix="new"))
    outcomes.record(observers.engine, told([True] * 90 + [False] * 210, prefix="new"))
    observers.update_quality()
    assert quality(app) == [1.0, 300]

    # A rollback is judged by what is known of the older version.
    serve(app, "2")
    observers.update_quality()
    assert quality(app) == [pytest.approx(0.25), 200]


def test_outcomes_that_another_process_took_are_measured_too(app, monkeypatch):
    monkeypatch.setattr(app_module, "_OUTCOME_SECONDS", 0.01)
    serve(app, "1")
    write(app, scored("1", [0.9, 0.1], prefix="one"))

    async def until(wanted):
        for _ in range(2_000):
            if quality(app) == wanted:
                return
            await asyncio.sleep(0.01)
        pytest.fail(f"{quality(app)} instead of {wanted}")

    async def follow():
        following = asyncio.create_task(app_module._follow_outcomes(app.parts))
        for readmitted, auc in (([True, False], 1.0), ([False, True], 0.0)):
            await asyncio.to_thread(
                outcomes.record, app.parts.observers.engine, told(readmitted, prefix="one")
            )
            await until([auc, 2])
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)

    asyncio.run(follow())


def test_an_outcome_whose_prediction_still_waits_is_to_be_sent_again(app):
    writer = app.parts.observers.writer
    writer.offer(scored("1", [0.9], prefix="late"))
    writer.state = "failing"
    late = {"request_id": "late0", "readmitted": True}
    answer = post(app, [late])
    assert (answer.status_code, answer.json()["code"]) == (503, "prediction_log_unavailable")
    assert int(answer.headers["retry-after"]) > 0

    writer._write_all()
    assert post(app, [late, {"request_id": "no", "readmitted": True}]).json() == {
        "recorded": 1,
        "unknown": ["no"],
    }


def test_predictions_that_come_in_meanwhile_are_not_waited_for(app, monkeypatch):
    writer = app.parts.observers.writer
    writer.offer(scored("1", [0.9], prefix="asked"))
    queue, ended = writer._queue, threading.Event()
    take = queue.take

    def take_while_more_comes(rows):
        taken = take(rows)
        if not ended.is_set():
            writer.offer(scored("1", [0.5], prefix="more"))
        return taken

    monkeypatch.setattr(queue, "take", take_while_more_comes)
    writer.start()
    try:
        assert writer.flush(20)
        assert writer.waiting()
    finally:
        ended.set()
        writer.stop(5)
    assert writer.waiting() == 0
