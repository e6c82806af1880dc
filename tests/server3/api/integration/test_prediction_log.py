"""Every prediction becomes a row, whatever happens to the database."""

import json
import random
import subprocess

import numpy as np
import pytest
import sqlalchemy as sa

from readmission_api.metrics.outcome_quality import roc_auc
from readmission_api.prediction_log.tables import OUTCOMES, PREDICTIONS
from support import mysql


def rows(url, table=PREDICTIONS):
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        found = [dict(row) for row in connection.execute(sa.select(table).order_by(table.c.id)).mappings()]
    engine.dispose()
    return found


def test_predictions_and_outcomes_are_kept(shared_registry, versions, new_service, database_url):
    service = new_service(shared_registry, prediction_log_url=database_url, token="t").start()
    exam = [patient for patient, _ in versions.exam(versions.one)[:120]]
    single = [
        service.http.post("/predict", json=patient, headers={"x-request-id": f"one.{number}"}).json()
        for number, patient in enumerate(exam[:100])
    ]
    batch = service.http.post("/predict_batch", json=exam[100:], headers={"x-request-id": "many"}).json()
    service.http.post("/predict", json={"age": "old"})

    # Outcomes match very recent predictions; unknown ones are reported.
    rng = random.Random(3)  # noqa: S311 - not a secret
    outcomes = [
        {"request_id": answer["request_id"], "readmitted": rng.random() < answer["probability"]}
        for answer in single
    ]
    told = {"headers": {"authorization": "Bearer t"}}
    answer = service.http.post(
        "/outcomes", json=[*outcomes, {"request_id": "no", "readmitted": True}], **told
    ).json()
    assert (answer["recorded"], answer["unknown"]) == (100, ["no"])
    assert [item["status"] for item in answer["outcomes"]] == ["recorded"] * 100 + ["unknown"]
    assert service.http.post("/outcomes", json=outcomes[0]).status_code == 401
    later = {"request_id": "many", "number": 3, "readmitted": True}
    assert service.http.post("/outcomes", json=later, **told).json()["recorded"] == 1
    assert service.http.post("/outcomes", json=later | {"readmitted": False}, **told).json()["recorded"] == 1

    kept = rows(database_url)
    assert [(row["request_id"], row["number"]) for row in kept] == [
        *((f"one.{number}", 0) for number in range(100)),
        *(("many", number) for number in range(20)),
    ]
    for row, patient, given in zip(kept, exam, [*single, *batch["predictions"]], strict=True):
        assert json.loads(row["inputs"]) == patient
        assert row["probability"] == pytest.approx(given["probability"], abs=1e-8)
        assert (row["class"], row["version"]) == (given["class"], "1")

    # The later outcome counts; the quality is computed from the rows.
    assert not rows(database_url, OUTCOMES)[-1]["readmitted"]
    risks = [answer["probability"] for answer in single] + [batch["predictions"][3]["probability"]]
    readmitted = [outcome["readmitted"] for outcome in outcomes] + [False]
    wanted = roc_auc(np.array(risks), np.array(readmitted))
    assert service.metric("outcome_roc_auc") == pytest.approx(wanted)
    assert service.metric("outcome_roc_auc_rows") == 101
    assert service.metric("prediction_log_written_total") == 120
    assert service.metric("prediction_log_dropped_total", reason="buffer_full") == 0


@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        {"request_id": "a"},
        {"request_id": 1, "readmitted": True},
        {"request_id": "a", "readmitted": 1},
        {"request_id": "a", "readmitted": True, "age": 1},
        {"request_id": "a", "readmitted": True, "number": -1},
        {"request_id": "a", "readmitted": True, "number": 2**40},
    ],
)
def test_an_outcome_that_is_none_is_refused(service, body):
    answer = service.http.post("/outcomes", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_outcome")


def test_predictions_before_a_stop_are_written(shared_registry, patient, new_service, tmp_path):
    url = f"sqlite:///{tmp_path / 'log.db'}"
    service = new_service(shared_registry, prediction_log_url=url).start()
    for _ in range(20):
        service.http.post("/predict", json=patient)
    assert service.stop() == 0
    assert len(rows(url)) == 20


def test_without_a_log_outcomes_are_refused(limited_log, patient):
    service = limited_log
    assert service.http.get("/health").json()["prediction_log"] == "off"
    answer = service.http.post("/outcomes", json={"request_id": "a", "readmitted": True})
    assert (answer.status_code, answer.json()["code"]) == (501, "no_prediction_log")
    assert "retry-after" not in answer.headers
    assert service.http.post("/predict", json=patient).status_code == 200


@pytest.fixture
def limited_log(shared_registry, new_service):
    return new_service(shared_registry).start()


@pytest.mark.mysql
def test_a_database_that_goes_down_costs_no_request(shared_registry, patient, new_service, tmp_path):
    folder = tmp_path / "mysql"
    folder.mkdir()
    try:
        server = mysql.start(folder, with_parent=True)
        url = server.create_database("log")
        service = new_service(
            shared_registry, prediction_log_url=url, prediction_log_buffer=50, reload_seconds=3600
        ).start()
        for _ in range(10):
            assert service.http.post("/predict", json=patient).status_code == 200
        service.wait(lambda: service.metric("prediction_log_written_total") == 10)

        mysql.stop(folder)

        def full():
            # Rows in the writer's hand are not in the buffer: more than the buffer's size may wait.
            for _ in range(80):
                assert service.http.post("/predict", json=patient).status_code == 200
            return service.metric("prediction_log_dropped_total", reason="buffer_full") >= 1

        service.wait(full)
        service.wait(lambda: service.http.get("/health").json()["prediction_log"] == "failing")
        assert service.metric("prediction_log_failures_total") >= 1
        assert service.http.get("/health/ready").status_code == 200
        answer = service.http.post("/outcomes", json={"request_id": "a", "readmitted": True})
        assert (answer.status_code, answer.json()["code"]) == (503, "prediction_log_unavailable")
        assert "[70-80)" not in service.log()
    finally:
        mysql.stop(folder)


def test_a_disk_that_fills_up_costs_no_request(shared_registry, patient, new_service, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", small], check=True)
    try:
        service = new_service(
            shared_registry, prediction_log_url=f"sqlite:///{small / 'log.db'}", prediction_log_buffer=300
        ).start()

        def full():
            assert service.http.post("/predict", json=patient).status_code == 200
            assert service.http.post("/predict_batch", json=[patient] * 100).status_code == 200
            return service.metric("prediction_log_failures_total") > 0

        service.wait(full)
        assert service.http.get("/health").json()["prediction_log"] == "failing"
        for _ in range(5):
            full()
        assert service.metric("prediction_log_dropped_total", reason="buffer_full") > 0
        assert service.http.post("/predict", json=patient).status_code == 200
        written = service.metric("prediction_log_written_total")
        # When there is room again, the waiting rows are written.
        subprocess.run(["mount", "-o", "remount,size=50m", small], check=True)
        service.wait(lambda: service.metric("prediction_log_written_total") > written)
        service.wait(lambda: service.http.get("/health").json()["prediction_log"] == "ok")
        service.stop()
        kept = len(rows(f"sqlite:///{small / 'log.db'}"))
        assert kept >= written
    finally:
        subprocess.run(["umount", "-l", small], check=True)
