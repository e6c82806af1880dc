"""Half an hour in the life of the inference API, in seconds: traffic, mistakes, overload, a promotion."""

import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from server3.api.support.service import Service
from server3.api.support.tracking import Registry

MINUTES = 30
SECONDS_A_MINUTE = 0.4
PATIENTS_A_MINUTE = 15

Patient = dict[str, Any]


def live_through(
    service: Service, registry: Registry, patients: list[Patient], every_minute: Callable[[], None]
) -> None:
    """Version 1 serves first, with version 2 as challenger; at minute 15 they swap.

    `every_minute` simulates the rest of the system.
    """
    chance = random.Random(1)  # noqa: S311 - a script of outcomes, not a secret
    for minute in range(MINUTES):
        began = time.monotonic()
        every_minute()
        todays = chance.sample(patients, PATIENTS_A_MINUTE)
        if minute > MINUTES * 2 / 3:  # older patients come
            todays = [patient | {"age": "[80-90)"} for patient in todays]
        _predict(service, todays, chance)
        if minute % 5 == 2:
            _ask_for_more(service, todays)
            _make_mistakes(service, todays[0])
        if minute == MINUTES // 3:
            _overload(service, todays[0])
        if minute == MINUTES // 2:
            registry.point("production", "2")
            registry.point("challenger", "1")
            answer = service.http.post("/reload_model")
            assert answer.json()["result"] == "loaded", answer.text
        time.sleep(max(0.0, began + SECONDS_A_MINUTE - time.monotonic()))


def _predict(service: Service, patients: list[Patient], chance: random.Random) -> None:
    answers = [service.http.post("/predict", json=patient) for patient in patients]
    assert {answer.status_code for answer in answers} == {200}
    outcomes = [
        {"request_id": answer["request_id"], "readmitted": chance.random() < answer["probability"] * 2}
        for answer in (answer.json() for answer in answers)
    ]
    assert service.http.post("/outcomes", json=outcomes).json()["recorded"] == len(outcomes)


def _ask_for_more(service: Service, patients: list[Patient]) -> None:
    assert service.http.post("/predict_batch", json=patients).status_code == 200
    names = list(patients[0])
    lines = [",".join(names), *(",".join(str(patient[name]) for name in names) for patient in patients)]
    table = service.http.post(
        "/predict_batch", content="\n".join(lines), headers={"content-type": "text/csv"}
    )
    assert table.status_code == 200
    assert service.http.post("/explain?samples=8", json=patients[0]).status_code == 200


def _make_mistakes(service: Service, patient: Patient) -> None:
    assert service.http.post("/predict", json=patient | {"age": "old"}).status_code == 422
    assert service.http.post("/predict", content=b"{").status_code in {400, 415}


def _overload(service: Service, patient: Patient) -> None:
    """Request many explanations at once until one is refused."""

    def explain(_: int) -> int:
        return httpx.post(f"{service.url}/explain?samples=1024", json=patient, timeout=30).status_code

    with ThreadPoolExecutor(6) as pool:
        for _ in range(10):
            if 503 in set(pool.map(explain, range(6))):
                return
    raise AssertionError("no request was refused")
