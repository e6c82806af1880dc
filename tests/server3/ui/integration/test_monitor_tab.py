"""The monitor, against a real API and a real Prometheus."""

import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from server3.ui.conftest import Apis
from server3.ui.support import patients
from server3.ui.support.app import markdown, open_app
from server3.ui.support.processes import Served, free_port


@pytest.fixture(scope="module")
def busy_api(apis: Apis) -> Served:
    """An API that has scored patients and knows what became of them."""
    served = apis.busy
    with httpx.Client(base_url=served.url, timeout=30) as http:
        schema = http.get("/model/schema").json()
        kinds = {field["name"]: field["kind"] for field in schema["fields"]}
        answers = []
        for row in patients.rows(schema, 150):
            patient = {
                name: int(row[name]) if kind == "integer" else row[name] for name, kind in kinds.items()
            }
            answers.append(http.post("/predict", json={**patient, "age": "[0-10)"}).json())
        riskiest = sorted(answers, key=lambda answer: -answer["probability"])
        outcomes = [
            {"request_id": answer["request_id"], "readmitted": number < 75}
            for number, answer in enumerate(riskiest)
        ]
        _until(lambda: http.post("/outcomes", json=outcomes).raise_for_status().json()["recorded"] == 150)
        _until(lambda: "outcome_roc_auc_rows 150.0" in http.get("/metrics").text)
        _until(lambda: "input_drift_psi{" in http.get("/metrics").text)
    return served


def _until(condition) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.2)


def open_monitor(monkeypatch, api: Served, **settings: str):
    app = open_app(monkeypatch, api.url, **settings)
    app.session_state["tab"] = app.tabs[2].label
    return app.run()


def charts(app) -> dict[str, dict]:
    return {
        chart.proto.id.rsplit("-", 1)[-1]: json.loads(chart.proto.spec) for chart in app.get("echarts_chart")
    }


def test_the_sums_are_the_apis(monkeypatch, busy_api: Served):
    app = open_monitor(monkeypatch, busy_api)
    assert not app.exception
    sums = {metric.label: metric.value for metric in app.metric}
    assert sums["Patients scored"] == "150"
    assert sums["Latency, 99th percentile"].endswith(" ms")
    assert sums["AUC over outcomes"] == "1.000"
    assert float(sums["Largest drift"]) > 0.25
    assert next(metric.delta for metric in app.metric if metric.label == "Largest drift") == "Age"


def test_the_charts_show_scores_and_drift(monkeypatch, busy_api: Served):
    app = open_monitor(monkeypatch, busy_api)
    shown = charts(app)
    answered = shown["scores"]["series"][0]["data"]
    assert sum(answered) == pytest.approx(100, abs=0.1)
    past = shown["scores"]["series"][1]["data"]
    assert sum(past) == pytest.approx(100, abs=0.1)
    assert shown["drift"]["yAxis"]["data"][0] == "Age"


def test_lines_over_time_grow_with_every_look(monkeypatch, busy_api: Served):
    app = open_monitor(monkeypatch, busy_api, refresh_seconds="1")
    before = charts(app)["predictions over time"]["series"]
    schema = httpx.get(f"{busy_api.url}/model/schema").json()
    answer = httpx.post(f"{busy_api.url}/predict", json=schema["examples"][0]["patient"]).json()
    time.sleep(1.1)
    app.run()
    lines = charts(app)["predictions over time"]["series"]
    assert len(lines[0]["data"]) == len(before[0]["data"]) + 1
    assert lines[answer["class"]]["data"][-1][1] > 0
    assert lines[1 - answer["class"]]["data"][-1][1] == 0


def test_an_api_that_did_nothing_yet_says_so(monkeypatch, rehearsal_api: Served):
    app = open_monitor(monkeypatch, rehearsal_api)
    assert not app.exception
    assert "No AUC yet" in markdown(app)
    assert "Not enough patients were scored yet to tell." in markdown(app)


@pytest.fixture(scope="module")
def prometheus(busy_api: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    program = shutil.which("prometheus")
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("prometheus is not installed")
        pytest.skip("prometheus is not installed")
    folder: Path = tmp_path_factory.mktemp("prometheus")
    config = {
        "global": {"scrape_interval": "1s"},
        "scrape_configs": [
            {"job_name": "api", "static_configs": [{"targets": [busy_api.url.removeprefix("http://")]}]}
        ],
    }
    (folder / "prometheus.yml").write_text(json.dumps(config))
    port = free_port()
    server = Served(
        [
            program,
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        port,
        "/-/ready",
        {},
        folder,
    )
    server.start()
    try:
        server.wait()
        yield server
    finally:
        server.stop()


def test_prometheus_draws_the_lines_where_it_is_set(monkeypatch, busy_api: Served, prometheus: Served):
    schema = httpx.get(f"{busy_api.url}/model/schema").json()

    def scraped() -> bool:
        httpx.post(f"{busy_api.url}/predict", json=schema["examples"][0]["patient"])
        query = {"query": "sum(rate(predictions_total[1m])) > 0"}
        return bool(httpx.get(f"{prometheus.url}/api/v1/query", params=query).json()["data"]["result"])

    _until(scraped)
    app = open_monitor(monkeypatch, busy_api, prometheus_url=prometheus.url)
    assert not app.exception
    assert not app.warning
    shown = charts(app)
    assert max(value for _, value in shown["predictions over time"]["series"][0]["data"]) > 0


def test_a_prometheus_that_is_away_is_told(monkeypatch, busy_api: Served):
    app = open_monitor(monkeypatch, busy_api, prometheus_url=f"http://127.0.0.1:{free_port()}")
    assert "Prometheus at" in app.warning[0].value
    assert app.metric[0].value >= "150"
