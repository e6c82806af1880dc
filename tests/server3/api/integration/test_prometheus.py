"""Every metric, in a real Prometheus that scrapes the running service."""

import json
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from server3.api.support.tracking import free_port

SEEN = {
    "predictions_total": 'predictions_total{class="1"}',
    "latency": "histogram_quantile(0.5, rate(prediction_latency_seconds_bucket[1m]))",
    "latency below a millisecond has buckets": 'prediction_latency_seconds_bucket{le="0.0003"}',
    "errors by kind": 'prediction_errors_total{kind="invalid_patient"} > 0',
    "in flight": "requests_in_flight",
    "shed": 'requests_shed_total{route="/explain"} > 0',
    "requests": 'http_requests_total{route="/predict_batch",status="200"} > 0',
    "model info": 'model_info{version="1",dataset="uci",candidate="lightgbm"} == 1',
    "model age": "model_age_seconds > 0",
    "model loaded": "time() - model_loaded_timestamp_seconds < 3600",
    "model's own quality": 'model_test_roc_auc{bound="low"} < on() model_test_roc_auc{bound="high"}',
    "ready": "model_ready == 1",
    "reloads": 'model_reloads_total{result="loaded"} == 1',
    "refused": "model_version_refused == 0",
    "memory": "process_resident_memory_bytes > 5e7",
    "batch sizes": 'prediction_batch_size_sum{route="/predict_batch"} > 0',
    "drift": "count(input_drift_psi) == 46",
    "drift of one field": 'input_drift_psi{field="age"} > 1',
    "drift of scores": "score_drift_psi > 0",
    "window": "input_drift_window_rows >= 100",
    "scores": "prediction_score_count > 0",
    "shadow": 'shadow_predictions_total{version="2"} > 0',
    "shadow difference": "shadow_difference_sum / shadow_difference_count > 0",
    "shadow's other classes": "shadow_disagreements_total",
    "shadow dropped": 'shadow_dropped_total{reason="sampled"}',
    "outcomes": 'outcomes_total{readmitted="true"} == 1',
    "quality": "outcome_roc_auc == 1",
    "quality's rows": "outcome_roc_auc_rows == 2",
    # Two outcomes are too few for an interval: its bounds are not numbers.
    "quality's interval": "count(outcome_roc_auc_bound) == 2",
    "calibration": "count(outcome_calibration) == 4",
    "pin": "model_pinned == 0",
    "log": "prediction_log_written_total > 0",
    "log dropped": 'prediction_log_dropped_total{reason="buffer_full"} == 0',
    "log failures": "prediction_log_failures_total == 0",
    "log waiting": "prediction_log_waiting",
    "spooled": "prediction_log_spooled_total == 0",
    "spool loaded": "prediction_log_spool_loaded_total == 0",
    "spool failures": "prediction_log_spool_failures_total == 0",
    "spool refused": "prediction_log_spool_refused_total == 0",
    "spool size": "prediction_log_spool_bytes == 0",
    "spool limit": "prediction_log_spool_limit_bytes >= 0",
}


@pytest.fixture
def prometheus(tmp_path):
    """Start Prometheus on a target; return a function that queries it."""
    started = []

    def start(target):
        port = free_port()
        config = tmp_path / "prometheus.yml"
        job = {"job_name": "api", "scrape_interval": "500ms", "static_configs": [{"targets": [target]}]}
        config.write_text(json.dumps({"scrape_configs": [job]}))
        binary = shutil.which("prometheus")
        assert binary, "Prometheus is not installed (apt-get install prometheus)"
        with (tmp_path / "prometheus.log").open("wb") as log:
            started.append(
                subprocess.Popen(
                    [
                        binary,
                        f"--config.file={config}",
                        f"--storage.tsdb.path={tmp_path / 'tsdb'}",
                        f"--web.listen-address=127.0.0.1:{port}",
                    ],
                    stdout=log,
                    stderr=log,
                )
            )

        def ask(query):
            try:
                answer = httpx.get(
                    f"http://127.0.0.1:{port}/api/v1/query", params={"query": query}, timeout=10
                )
            except httpx.TransportError:
                return []
            body = answer.json()
            assert body["status"] == "success", body
            return body["data"]["result"]

        return ask

    yield start
    for process in started:
        process.terminate()
        process.wait()


def test_every_metric_is_seen(shared_registry, versions, patient, new_service, prometheus, tmp_path):
    service = new_service(
        shared_registry,
        prediction_log_url=f"sqlite:///{tmp_path / 'log.db'}",
        drift_minimum=100,
        max_explanations=1,
        max_explanation_queue=0,
    ).start()
    service.wait(lambda: service.http.get("/model").json()["challenger"] is not None)
    ask = prometheus(f"127.0.0.1:{service.port}")

    exam = [patient for patient, _ in versions.exam(versions.one)[:150]]
    answers = service.http.post("/predict_batch", json=exam).json()["predictions"]
    by_risk = sorted(zip([one["probability"] for one in answers], range(len(exam)), strict=True))
    for place, (_, number) in enumerate((by_risk[0], by_risk[-1])):
        service.http.post("/predict", json=exam[number], headers={"x-request-id": f"end.{place}"})
    service.http.post(
        "/outcomes",
        json=[{"request_id": "end.0", "readmitted": False}, {"request_id": "end.1", "readmitted": True}],
    )
    service.http.post("/predict", json={"age": "old"})
    _shed(service, patient)

    missing = dict(SEEN)
    end = time.monotonic() + 60
    while missing and time.monotonic() < end:
        # Latency is a rate: it needs requests between two scrapes.
        service.http.post("/predict_batch", json=[patient | {"age": "[0-10)"}] * 200)
        service.http.post("/predict", json=patient | {"age": "[0-10)"})
        for name, query in list(missing.items()):
            found = ask(query)
            if found and all(row["value"][1] != "NaN" for row in found):
                del missing[name]
        time.sleep(0.3)
    assert not missing
    # Every exported metric is in this list.
    exported = {
        line.split()[2]
        for line in service.http.get("/metrics").text.splitlines()
        if line.startswith("# TYPE")
    }
    queries = " ".join(SEEN.values())
    forgotten = {
        name
        for name in exported
        if name not in queries and not name.startswith(("process_", "python_")) and "created" not in name
    }
    assert not forgotten


def _shed(service, patient):
    with ThreadPoolExecutor(8) as pool:
        while True:
            answers = pool.map(
                lambda _: service.http.post("/explain?samples=1024", json=patient).status_code, range(8)
            )
            if 503 in set(answers):
                return
