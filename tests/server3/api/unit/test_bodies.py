"""Bodies within limits of size and time."""

import asyncio
import time

import pytest

from readmission_api.app import create_app
from readmission_api.errors import RefusedError
from readmission_api.routes import bodies as module
from readmission_api.routes.accounting import Accounting
from readmission_api.routes.bodies import Bodies
from readmission_api.settings import ApiSettings


def receiving(parts, pause=0.0):
    """Return an ASGI `receive` that returns the parts in turn, with a pause before each."""
    left = [
        {"type": "http.request", "body": part, "more_body": number < len(parts)}
        for number, part in enumerate(parts, start=1)
    ]

    async def receive():
        if pause:
            await asyncio.sleep(pause)
        return left.pop(0)

    return receive


async def watched(bodies, reading):
    watch = asyncio.create_task(bodies.watch())
    try:
        return await reading
    finally:
        watch.cancel()


@pytest.mark.parametrize("sizes", [(101,), (60, 60), (100, 0, 1)])
def test_the_refusal_of_a_long_body_states_the_limit(sizes):
    receive = receiving([b"x" * size for size in sizes])
    with pytest.raises(RefusedError) as caught:
        asyncio.run(Bodies(1).read(receive, limit=100))
    assert (caught.value.status, caught.value.code) == (413, "body_too_large")
    assert "longer than 100 bytes" in caught.value.message


def test_a_body_arrives_in_parts():
    assert asyncio.run(Bodies(1).read(receiving([b"ab", b"", b"c"]), limit=3)) == b"abc"


@pytest.mark.parametrize("parts", [[b"x"] * 1000, [b""] * 1000])
def test_a_trickled_body_has_an_end(parts):
    bodies = Bodies(0.2)
    started = time.monotonic()
    with pytest.raises(RefusedError) as caught:
        asyncio.run(watched(bodies, bodies.read(receiving(parts, pause=0.05), limit=10_000)))
    assert (caught.value.status, caught.value.code) == (408, "body_timeout")
    assert time.monotonic() - started < 10
    assert not bodies._deadlines
    assert not bodies._late


def test_a_large_body_that_keeps_coming_is_waited_for(monkeypatch):
    monkeypatch.setattr(module, "SLOWEST_BYTES_PER_SECOND", 10)
    bodies = Bodies(0.2)
    parts = [b"x" * 20] * 10
    body = asyncio.run(watched(bodies, bodies.read(receiving(parts, pause=0.1), limit=1000)))
    assert body == b"".join(parts)


def test_a_request_that_is_cancelled_for_another_reason_stays_cancelled():
    async def cancelled():
        bodies = Bodies(60)
        task = asyncio.create_task(bodies.read(receiving([b"x"], pause=60), limit=10))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not bodies._deadlines

    asyncio.run(cancelled())


def test_a_late_body_never_breaks_into_an_answer(tmp_path):
    async def begins_and_then_waits(_scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        await bodies.read(receive, limit=10)

    bodies, sent = Bodies(0.1), []

    async def send(message):
        sent.append(message)

    parts = create_app(ApiSettings(state_dir=tmp_path, tracking_uri="http://127.0.0.1:9")).parts
    scope = {"type": "http", "method": "POST", "path": "/predict_batch", "headers": []}
    answer = Accounting(begins_and_then_waits, parts)(scope, receiving([b"x"], pause=60), send)
    asyncio.run(watched(bodies, answer))
    assert [(message["type"], message.get("status")) for message in sent] == [
        ("http.response.start", 200),
        ("http.response.body", None),
    ]
