"""Work is proportional to the request, and no kind of work waits for another's threads."""

import asyncio
import json
import socket
import threading
import time
from datetime import UTC, datetime

import httpx
import pytest

from readmission_api.app import create_app
from readmission_api.errors import BadJsonError, OverloadedError, PatientRefusedError, RefusedError
from readmission_api.model_store.store import Reload, Serving
from readmission_api.predictor import json_text
from readmission_api.reloads import Reloads
from readmission_api.routes import batch as batch_route
from readmission_api.routes import outcomes as outcomes_route
from readmission_api.routes.batch import read_rows, split
from readmission_api.routes.outcomes import read_outcomes
from readmission_api.routes.parts import UploadSpace
from readmission_api.settings import ApiSettings
from readmission_api.threads import Threads


def keys(count):
    """An object of so many names, of which one is repeated."""
    return ("{" + ",".join(f'"k{number}":1' for number in range(count)) + ',"k0":1}').encode()


def seconds(work, *arguments):
    started = time.thread_time()
    with pytest.raises((BadJsonError, PatientRefusedError, RefusedError)):
        work(*arguments)
    return time.thread_time() - started


@pytest.mark.parametrize(
    "body",
    [
        keys(5_000),
        b'{"a":1' + b',"a":1' * 9_000 + b"}",
        b"{" + b",".join(b'"k%d":1,"k%d":1' % (number, number) for number in range(2_500)) + b"}",
        b'{"time_in_hospital":' + b"[" * 900 + b"]" * 900 + b"}",
        b'{"diag_1":"' + b"1" * 60_000 + b'!"}',
        b'{"a":[' + b"1" * 4_000 + (b"," + b"1" * 4_000) * 13 + b"]}",
        b'{"' + b"\\u0061" * 10_000 + b'":1}',
    ],
    ids=["names", "one name", "all repeated", "nested", "a long code", "long numbers", "escapes"],
)
def test_a_hostile_patient_takes_little_time(predictor, body):
    assert len(body) < 65_536
    assert seconds(predictor.patients.read, body) < 0.25


@pytest.mark.parametrize("count", [20_000, 600_000])
def test_hostile_outcomes_take_little_time(count):
    assert seconds(read_outcomes, keys(count)) < 0.25
    assert seconds(read_outcomes, b"[" + keys(count) + b"]") < 0.25
    assert seconds(read_outcomes, b"[" + b"1," * count + b"1") < 0.25


def test_many_outcomes_are_read():
    one = {"request_id": "ward-7.1", "readmitted": True, "number": 4.0}
    body = json.dumps([one] * 5_000).encode()
    outcomes = read_outcomes(body)
    assert (len(outcomes), outcomes[-1].number) == (5_000, 4)


def test_a_batch_of_one_endless_patient_is_refused_without_reading_it(predictor):
    patients = split(b"[" + keys(600_000) + b"]")
    found = []
    started = time.thread_time()
    assert read_rows(predictor, patients, 0, found, 65_536) == []
    assert time.thread_time() - started < 0.25
    assert [(problem.code, problem.row) for problem in found] == [("too_long", 0)]


@pytest.mark.parametrize(
    ("path", "module", "reader"),
    [
        ("/outcomes", outcomes_route, "read_outcomes"),
        ("/predict_batch", batch_route, "split"),
        ("/predict_batch", batch_route, "read_rows"),
    ],
)
def test_no_large_body_is_read_on_the_event_loop(
    tmp_path, predictor, patient, monkeypatch, path, module, reader
):
    readers, read = [], getattr(module, reader)

    def note(*given):
        readers.append(threading.current_thread())
        return read(*given)

    monkeypatch.setattr(module, reader, note)
    app = create_app(ApiSettings(state_dir=tmp_path, tracking_uri="http://127.0.0.1:9"))
    app.parts.store.serving = Serving(predictor, "registry", datetime.now(UTC))
    body = [patient] * 50 if module is batch_route else [{"request_id": "a", "readmitted": True}] * 50

    async def ask():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as client:
            return await client.post(path, json=body)

    assert asyncio.run(ask()).status_code in {200, 501}
    assert readers
    assert threading.main_thread() not in readers


def test_an_error_lists_a_bounded_number_of_names(predictor):
    with pytest.raises(PatientRefusedError) as caught:
        predictor.patients.read(keys(5_000))
    assert len(caught.value.problems) < 300


@pytest.mark.parametrize(
    "body", [b'{"a":"\\ud800"}', b'{"\\udfff":1}', b'[{"age":"\\ud800x"}]', b'["\\udc00"]']
)
def test_half_a_surrogate_pair_is_not_json_anywhere(body):
    with pytest.raises(BadJsonError):
        json_text.parse(body)
    if body.startswith(b"["):
        with pytest.raises(BadJsonError):
            split(body) and [json_text.parse(bytes(item)) for item in split(body)]


@pytest.mark.parametrize("body", [b'{"a":"\\ud83d\\ude00"}', b'{"a":"\\\\ud800"}', b'{"\\u00e9":"\\u0061"}'])
def test_whole_characters_may_be_escaped(body):
    assert json_text.parse(body) == json.loads(body)


def test_reloads_are_joined_and_never_miss_a_change():
    begun, has_begun, may_end = [], threading.Event(), threading.Event()

    def refresh(force):
        begun.append(force)
        has_begun.set()
        assert may_end.wait(30)
        return Reload("unchanged", datetime.now(UTC), str(len(begun)))

    async def ask():
        threads = Threads(batches=1, explanations=1)
        reloads = Reloads(refresh, threads.registry)
        first = asyncio.create_task(reloads.look())
        assert await asyncio.to_thread(has_begun.wait, 30)
        later = [asyncio.create_task(reloads.look(force=number == 5)) for number in range(12)]
        await asyncio.sleep(0.05)
        later[0].cancel()
        may_end.set()
        results = await asyncio.gather(first, *later[1:])
        threads.stop()
        return [result.version for result in results]

    assert asyncio.run(ask()) == ["1"] + ["2"] * 11
    assert begun == [False, True]


def test_a_silent_registry_stops_nothing_but_reloads(tmp_path, predictor, patient):
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        app = create_app(ApiSettings(tracking_uri=uri, state_dir=tmp_path, registry_timeout_seconds=60))
        app.parts.store.serving = Serving(predictor, "registry", datetime.now(UTC))

        async def ask():
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://api", timeout=50) as client:
                reloads = [asyncio.create_task(client.post("/reload_model")) for _ in range(12)]
                await asyncio.sleep(0.1)
                answers = [
                    await client.get("/metrics"),
                    await client.post("/explain?samples=2", json=patient),
                    await client.post("/predict_batch", json=[patient]),
                ]
                waiting = [task for task in reloads if not task.done()]
                for task in reloads:
                    task.cancel()
                return [answer.status_code for answer in answers], len(waiting)

        assert asyncio.run(ask()) == ([200, 200, 200], 12)


def test_uploads_are_refused_before_they_take_the_disk():
    space = UploadSpace(100)
    with space.reserve(60):
        with pytest.raises(OverloadedError), space.reserve(41):
            pass
        with space.reserve(40):
            pass
    with space.reserve(100):
        pass
