"""Outcomes, in an app whose prediction log is a file of SQLite."""

import asyncio
import threading
from collections.abc import Iterator
from types import SimpleNamespace

import httpx
import pytest
import sqlalchemy as sa

from readmission_api import app as app_module
from readmission_api.app import create_app
from readmission_api.prediction_log import outcomes
from readmission_api.prediction_log.outcomes import Outcome
from readmission_api.prediction_log.tables import OUTCOME_CORRECTIONS, OUTCOMES, create_tables
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


def post(app, body, headers=None):
    async def request():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://a") as client:
            return await client.post("/outcomes", json=body, headers=headers)

    return asyncio.run(request())


def test_the_version_that_serves_is_judged_by_its_own_outcomes(app):
    observers = app.parts.observers
    write(app, scored("2", [0.9, 0.8, 0.2, 0.1] * 50, prefix="old"))
    outcomes.record(observers.engine, told([False, True] * 100, prefix="old"), request_id="r")
    serve(app, "2")
    observers.update_quality()
    assert quality(app) == [pytest.approx(0.25), 200]

    serve(app, "5")
    observers.update_quality()
    assert quality(app) == [pytest.approx(float("nan"), nan_ok=True), 0]
    write(app, scored("5", [0.9] * 90 + [0.1] * 210, prefix="new"))
    outcomes.record(observers.engine, told([True] * 90 + [False] * 210, prefix="new"), request_id="r")
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
                outcomes.record, app.parts.observers.engine, told(readmitted, prefix="one"), request_id="r"
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
        "outcomes": [
            {"request_id": "late0", "number": 0, "status": "recorded"},
            {"request_id": "no", "number": 0, "status": "unknown"},
        ],
    }


def test_each_outcome_of_a_request_has_an_answer_of_its_own(app):
    writer = app.parts.observers.writer
    batch = Scored(of_version("1"), ["many"] * 3, [0, 1, 2], [(5,)] * 3, [0.1, 0.2, 0.3], 0.0)
    write(app, batch)
    assert writer.waiting() == 0

    told = {0: True, 7: True, 1: None, 2: False}
    answer = post(
        app, [{"request_id": "many", "number": number, "readmitted": told[number]} for number in told]
    ).json()
    assert [item["status"] for item in answer["outcomes"]] == ["recorded", "unknown", "pending", "recorded"]
    assert [item["number"] for item in answer["outcomes"]] == [0, 7, 1, 2]
    assert (answer["recorded"], answer["unknown"]) == (2, ["many"])


def stored(app, table):
    with app.parts.observers.engine.connect() as connection:
        return [dict(row) for row in connection.execute(sa.select(table).order_by(table.c.id)).mappings()]


def test_outcomes_mature_and_are_corrected_with_their_history(app):
    write(app, scored("1", [0.9, 0.1], prefix="p"))

    def send(readmitted, request_id):
        body = {"request_id": "p0", "readmitted": readmitted}
        return post(app, body, {"x-request-id": request_id}).json()["outcomes"][0]["status"]

    said = [send(value, f"r{n}") for n, value in enumerate([None, False, False, True, None, False])]
    assert said == ["pending", "recorded", "unchanged", "corrected", "unchanged", "corrected"]
    [kept] = stored(app, OUTCOMES)
    assert (kept["request_id"], kept["readmitted"]) == ("p0", False)
    history = stored(app, OUTCOME_CORRECTIONS)
    assert [(row["readmitted_before"], row["readmitted"], row["corrected_by"]) for row in history] == [
        (False, True, "r3"),
        (True, False, "r5"),
    ]
    assert history[1]["received_before"] == history[0]["received_at"] < history[1]["received_at"]
    assert kept["received_at"] == history[1]["received_at"]

    # Several outcomes of one prediction in one request count in their order.
    both = post(app, [{"request_id": "p1", "readmitted": value} for value in (False, True)]).json()
    assert [item["status"] for item in both["outcomes"]] == ["recorded", "corrected"]
    assert stored(app, OUTCOMES)[-1]["readmitted"] is True
    assert len(stored(app, OUTCOME_CORRECTIONS)) == 3


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
