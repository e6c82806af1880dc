"""The closed loop, for real: patients change, an alert starts one training, its version serves, and back.

Real: Airflow, MLflow, the inference API, Prometheus and Alertmanager with the shipped files, the webhook and
the simulator. The waits of the shipped files are shortened, as described below. The data is generated; its
first batch is too small to learn everything.
"""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from readmission_data.clean import tasks
from readmission_data.dataset import synthetic
from readmission_data.raw import load
from readmission_data.registry.register import register
from readmission_data.settings import DataSettings
from readmission_data.training.run import train
from server3.api.support.service import Service
from server3.api.support.tracking import MODEL, Tracking
from server3.observability.support import files, programs
from server3.observability.support.prometheus import Prometheus, running
from server3.retrain.support.airflow import PASSWORD, USER, Airflow

FACTOR = 300
"""An alert's wait of 15 minutes is 3 seconds. Scrapes and evaluations come every second, as in `running`."""

ALERTMANAGER = {"group_wait: 30s": "1s", "group_interval: 5m": "2s", "repeat_interval: 6h": "4s"}
"""A message comes again after 4 seconds instead of 6 hours; the cool-down of the webhook stays at 6 hours."""

TOKEN = "a token of the tests"
PATIENCE = 600


def compressed(text: str) -> str:
    seconds = {"m": 60_000, "s": 1_000}
    return re.sub(
        r"(?<=\bfor: )(\d+)([ms])\b", lambda found: f"{int(found[1]) * seconds[found[2]] // FACTOR}ms", text
    )


def tracked(monkeypatch: pytest.MonkeyPatch, folder: Path, tracking: Tracking) -> DataSettings:
    """The settings of server 1, in this process and in those that it starts."""
    for name, value in {
        "DATASET": str(folder / "sample.csv"),
        "RAW_URL": f"sqlite:///{folder / 'raw.db'}",
        "CLEAN_URL": f"sqlite:///{folder / 'clean.db'}",
        "STAGING_DIR": str(folder / "staging"),
        "CACHE_DIR": str(folder / "cache"),
        "TRACKING_URI": tracking.uri,
        "BATCH_SIZE": "1000",
        "SEARCH_TRIALS": "1",
        "BOOTSTRAP_SAMPLES": "200",
        "CANDIDATES": '["lightgbm"]',
    }.items():
        monkeypatch.setenv(f"READMISSION_{name}", value)
    monkeypatch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    return DataSettings()


@contextmanager
def watching(folder: Path, service: Service, webhook: str) -> Iterator[Prometheus]:
    """Prometheus with the shipped rules and Alertmanager with the shipped config."""
    text = programs.OBSERVABILITY.joinpath("alertmanager", "alertmanager.yml").read_text()
    for wait, shorter in ALERTMANAGER.items():
        assert text.count(wait) == 1
        text = text.replace(wait, f"{wait.partition(':')[0]}: {shorter}")
    assert text.count("127.0.0.1:8095") == 1
    config = folder / "alertmanager.yml"
    config.write_text(text.replace("127.0.0.1:8095", webhook))
    watched_elsewhere = ("airflow", "mlflow", "airflow-api", "minio", "edges", "kubernetes", "mysql", "node")
    nothing = {job: [] for job in watched_elsewhere}
    with programs.alertmanager(folder / "alertmanager", config) as manager:
        targets = {
            **nothing,
            "readmission-api": [{"targets": [f"127.0.0.1:{service.port}"]}],
            "alertmanager": [{"targets": [manager]}],
            "retrain": [{"targets": [webhook]}],
        }
        with running(folder / "prometheus", targets, rules=compressed) as prometheus:
            yield prometheus


@dataclass
class World:
    """Everything that runs, and the settings of server 1."""

    folder: Path
    service: Service
    airflow: Airflow
    prometheus: Prometheus

    def version(self) -> str:
        # With a new connection: the server may close an idle one while it is used.
        return httpx.get(f"{self.service.url}/model", timeout=60).json()["version"]

    def firing(self) -> set[str]:
        """Return the firing alerts that request a training."""
        return {
            alert["labels"]["alertname"]
            for alert in self.prometheus.get("alerts")["alerts"]
            if alert["state"] == "firing" and alert["labels"].get("action") == "retrain"
        }

    def ask(self, query: str) -> dict[str, float]:
        """The numbers of a query by the version, or the result, that they are about."""
        found = self.prometheus.get("query", query=query)["result"]
        return {
            series["metric"].get("version", series["metric"].get("result", "")): float(series["value"][1])
            for series in found
        }

    def deliveries(self) -> dict[str, float]:
        return self.ask("sum by (result) (retrain_deliveries_total) > 0")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Everything runs; version 1 was trained on the first batch, and the others wait in CleanData."""
    folder = tmp_path_factory.mktemp("loop")
    with ExitStack() as stack:
        environment = stack.enter_context(pytest.MonkeyPatch.context())
        tracking = Tracking(folder / "tracking")
        settings = tracked(environment, folder, tracking)
        airflow = Airflow(folder / "airflow", works=True)
        stack.callback(airflow.stop)
        pool = stack.enter_context(ThreadPoolExecutor(1))
        starting = pool.submit(airflow.start)
        stack.callback(tracking.stop)
        tracking.start()

        synthetic.write(folder / "sample.csv", encounters=14_000, seed=3)
        load.load_next(settings)
        tasks.preprocess(settings, "first")
        first = register(settings, train(settings))
        assert first.aliases == {"production": "1"}, first
        service = stack.enter_context(
            Service(
                folder / "api",
                SimpleNamespace(uri=tracking.uri, model=MODEL),
                prediction_log_url=f"sqlite:///{folder / 'predictions.db'}",
                token=TOKEN,
                reload_seconds=1,
                # As many as the rules require, so that a shift fills it quickly.
                drift_window=1_000,
            )
        ).start()
        # Not loaded by a DAG, so train_and_register is not triggered.
        for _ in load.load_all(settings):
            pass
        tasks.preprocess(settings, "second")

        starting.result()
        airflow.pause(paused=False)
        environment.setenv("READMISSION_RETRAIN_AIRFLOW_USER", USER)
        environment.setenv("READMISSION_RETRAIN_AIRFLOW_PASSWORD", PASSWORD)
        environment.setenv("READMISSION_RETRAIN_AIRFLOW_TIMEOUT_SECONDS", "120")
        webhook = stack.enter_context(programs.retrain(folder / "retrain", airflow.url))
        prometheus = stack.enter_context(watching(folder, service, webhook))
        yield World(folder, service, airflow, prometheus)


@contextmanager
def traffic(world: World, name: str, *options: str) -> Iterator[SimpleNamespace]:
    """Replay patients until the block ends; afterwards `counts` contains the simulator's counts."""
    found, log_file = SimpleNamespace(counts=None), world.folder / f"{name}.log"
    command = [sys.executable, "-m", "readmission_data", "replay", "--json", "--count", "0", "--rate", "60"]
    command += ["--delay", "1", *options]
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            command,
            env={**os.environ, "READMISSION_API_URL": world.service.url, "READMISSION_API_TOKEN": TOKEN},
            stdout=subprocess.PIPE,
            stderr=log,
        )
        try:
            yield found
            assert process.poll() is None, log_file.read_text()
            process.send_signal(signal.SIGINT)
            out, _ = process.communicate(timeout=PATIENCE)
            assert process.returncode == 0, log_file.read_text()
            found.counts = json.loads(out)
        finally:
            process.kill()
            process.wait()


def wait(condition: Callable[[], object], what: str) -> None:
    programs.wait_until(condition, what, seconds=PATIENCE)


def dashboard_queries() -> list[str]:
    """Check the dashboard's queries for the serving version and for the time of its promotion."""
    dashboard = files.read_dashboard(next(path for path in files.DASHBOARDS if path.stem == "model"))
    serving = [
        target["expr"]
        for panel in files.panels(dashboard)
        for target in panel["targets"]
        if re.search(r"by \(version.*model_info.*== 1", target["expr"])
    ]
    marks = [mark["expr"] for mark in dashboard["annotations"]["list"] if mark["name"] == "Promotions"]
    assert serving
    assert marks
    return [*serving, *marks]


@pytest.mark.timeout(1200)
def test_a_shift_is_answered_by_one_training_and_a_rollback_takes_it_back(world):
    service, airflow = world.service, world.airflow
    with ExitStack() as stack:
        with traffic(world, "usual") as usual:
            # Usual patients raise no alert: for longer than an alert waits, and with enough of them.
            full = "min_over_time(input_drift_window_rows[6s]) >= 1000 and outcome_roc_auc_rows >= 500"
            wait(lambda: world.ask(full), "the rules looked at the full window")
            assert world.firing() == set()
            assert airflow.runs() == []
            # Other patients arrive before these have left the window: there is no pause.
            shifted = stack.enter_context(traffic(world, "shifted", "--shift", "older"))
            wait(lambda: world.ask('input_drift_psi{field="age"} > 0.1'), "the others came")

        wait(lambda: "InputDrift" in world.firing(), "the shift raised the alert")
        wait(airflow.runs, "the alert started a training")
        [run] = airflow.runs()
        causes = {alert["alertname"] for alert in run["conf"]["alerts"]}
        assert causes
        assert causes <= {"InputDrift", "ScoreShift", "OutcomeAucLow"}
        assert run["note"].startswith("Started by ")
        wait(lambda: world.deliveries().get("cooldown"), "the alert came again")

        # The gate promotes the new version, because it beats the old one; the API loads it under load.
        wait(lambda: world.version() == "2", "the API serves the new version")
        wait(lambda: airflow.runs()[0]["state"] == "success", "the run of Airflow is over")
        for query in dashboard_queries():
            wait(lambda query=query: set(world.ask(query)) == {"2"}, f"the dashboard shows it: {query}")

        command = [sys.executable, "-m", "readmission_data", "rollback"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        wait(lambda: world.version() == "1", "the API went back")
        for query in dashboard_queries():
            wait(lambda query=query: set(world.ask(query)) == {"1"}, f"the dashboard shows that: {query}")

        assert len(airflow.runs()) == 1
        told = world.deliveries()
        assert told.pop("started") == 1
        assert set(told) == {"cooldown"}
    for counts in (usual.counts, shifted.counts):
        assert counts["failed"] == {}
        assert counts["refused"] == {}
        assert counts["answered"] == counts["sent"]
        outcomes = counts["outcomes"]
        assert outcomes["recorded"] > 500
        assert (outcomes["unknown"], outcomes["failed"]) == (0, {})
    assert set(usual.counts["versions"]) == {"1"}
    assert set(shifted.counts["versions"]) == {"1", "2"}
    answers = re.findall(
        r'^http_requests_total\{[^}]*route="/(predict|outcomes)"[^}]*status="(\d+)"',
        httpx.get(f"{service.url}/metrics", timeout=60).text,
        re.MULTILINE,
    )
    assert sorted(answers) == [("outcomes", "200"), ("predict", "200")], service.log()


def replay(world: World, *options: str, token: str = TOKEN, **environment: str) -> tuple[int, str]:
    ran = subprocess.run(
        [sys.executable, "-m", "readmission_data", "replay", "--rate", "0", *options],
        env={
            **os.environ,
            "READMISSION_API_URL": world.service.url,
            "READMISSION_API_TOKEN": token,
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    return ran.returncode, ran.stdout + ran.stderr


def test_rows_that_the_api_refuses_are_counted(world, tmp_path):
    with (
        closing(sqlite3.connect(world.folder / "raw.db")) as raw,
        closing(sqlite3.connect(tmp_path / "raw.db")) as copy,
    ):
        raw.backup(copy)
        copy.execute("UPDATE test_data SET age = '[200-210)' WHERE gender = 'Male'")
        copy.commit()
    url = f"sqlite:///{tmp_path / 'raw.db'}"
    code, said = replay(world, "--count", "40", "--no-outcomes", READMISSION_RAW_URL=url)
    assert code == 0, said
    refused = int(re.search(r"^refused +(\d+) \(422: ", said, re.MULTILINE)[1])
    answered = int(re.search(r"^answered +(\d+) \(version ", said, re.MULTILINE)[1])
    assert refused > 0
    assert refused + answered == 40
    assert "[200-210)" not in said


def test_a_wrong_token_ends_a_replay_with_one_line(world):
    code, said = replay(world, "--count", "30", "--delay", "0", token="wrong")
    assert (code, said.strip()) == (
        2,
        "readmission_data: the API refuses the token for outcomes: set READMISSION_API_TOKEN to its token",
    )


def test_an_api_that_is_away_ends_a_replay_with_one_line(world):
    code, said = replay(world, READMISSION_API_URL="http://127.0.0.1:9")
    assert code == 2
    assert said.startswith("readmission_data: no response from the API at http://127.0.0.1:9")
    assert len(said.splitlines()) == 1
