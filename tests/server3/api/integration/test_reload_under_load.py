"""The alias moves while every connection is busy."""

import asyncio
import json
import os
import time

from server3.api.conftest import schema_of
from server3.api.support.load import under_load

CHANGES, SECONDS = (20, 60.0) if os.environ.get("READMISSION_FULL_TESTS") else (6, 8.0)
CONNECTIONS = 16


def test_no_answer_is_lost_late_or_mixed(registry, versions, new_service):
    exam = {folder: versions.exam(folder) for folder in (versions.one, versions.two)}
    patients = [patient for patient, _ in exam[versions.one][:50]]
    numbers = {
        registry.register(versions.one, "production"): versions.one,
        registry.register(versions.two): versions.two,
    }
    service = new_service(registry, prediction_log_url="sqlite:///:memory:").start()
    risks, thresholds = {}, {}
    for number, folder in numbers.items():
        registry.point("production", number)
        service.http.post("/reload_model")
        answer = service.http.post("/predict_batch", json=patients).json()
        assert answer["version"] == number
        risks[number] = [prediction["probability"] for prediction in answer["predictions"]]
        thresholds[number] = schema_of(folder)["threshold"]
    assert min(abs(a - b) for a, b in zip(*risks.values(), strict=True)) > 1e-7

    turns = list(numbers) * CHANGES
    changes = [(time.monotonic(), time.monotonic(), list(numbers)[-1])]

    def move_alias():
        end = time.monotonic() + SECONDS
        for number in turns[:CHANGES]:
            start = time.monotonic()
            registry.point("production", number)
            assert service.http.post("/reload_model").json()["version"] == number
            changes.append((start, time.monotonic(), number))
            time.sleep(max(0.0, (end - time.monotonic()) / (CHANGES - len(changes) + 2)))

    bodies = [
        json.dumps(patient | {"admission_type_id": patient["admission_type_id"]}).encode()
        for patient in patients
    ]
    started = time.monotonic()
    load = asyncio.run(under_load(service.port, bodies, CONNECTIONS, move_alias))
    lasted = time.monotonic() - started

    assert load.broken == load.refused == 0
    assert {answer.status for answer in load.answers} == {200}
    assert {answer.body["version"] for answer in load.answers} == set(numbers)
    known = {number: {f"{risk:.7g}" for risk in values} for number, values in risks.items()}
    for answer in load.answers:
        version = answer.body["version"]
        # It was production at some time between request and response.
        assert any(
            number == version
            and start <= answer.received
            and (index + 1 == len(changes) or answer.sent <= changes[index + 1][1])
            for index, (start, _, number) in enumerate(changes)
        )
        # Risk, threshold and class all come from that version.
        assert answer.body["threshold"] == thresholds[version]
        assert f"{answer.body['probability']:.7g}" in known[version]
        assert answer.body["class"] == int(answer.body["probability"] >= thresholds[version])
    print(f"{len(load.answers)} answers in {lasted:.0f} s over {CHANGES} changes")  # noqa: T201 - with -s
