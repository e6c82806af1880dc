"""The stages of the demo."""

import json
import os
import socket
import subprocess
import time
from pathlib import Path
from typing import Any, Final

import httpx

from readmission_demo import airflow, console
from readmission_demo.console import CONSOLE
from readmission_demo.errors import DemoError
from readmission_demo.monitoring import PORTS, STATSD_UDP, Monitoring
from readmission_demo.processes import Processes, free_port, responds
from readmission_demo.progress import Progress

ROOT: Final = Path(__file__).resolve().parents[4]
TITLES: Final = {
    "airflow": "Airflow",
    "mlflow": "MLflow",
    "api": "API",
    "ui": "pages",
    "prometheus": "Prometheus",
    "alertmanager": "Alertmanager",
    "retrain": "retraining webhook",
}
LOOK_SECONDS: Final = 2.0
"""The pause between two requests for Airflow's state."""


def python(environment: str) -> Path:
    """Return the interpreter of one environment."""
    return ROOT / ".venvs" / environment / "bin" / "python"


class Demo:
    """The stages of the demo, in order."""

    def __init__(self, state: Path, processes: Processes) -> None:
        self.processes = processes
        self.serving = False
        self.began = time.monotonic()
        self.data_env = {
            "READMISSION_CACHE_DIR": str(ROOT / ".cache"),
            "READMISSION_ALLOW_SYNTHETIC": "true",
        }
        self.dataset = self.data_command("dataset")
        # One folder per data set, so that generated and real encounters never mix.
        self.state = state / f"{self.dataset['kind']}-{self.dataset['sha256'][:8]}"
        self.state.mkdir(exist_ok=True)
        self.ports = {
            name: free_port(port)
            for name, port in {"airflow": 8080, "mlflow": 5000, "api": 8000, "ui": 8501, **PORTS}.items()
        }
        self.ports["statsd_udp"] = free_port(STATSD_UDP, socket.SOCK_DGRAM)
        self.urls = {name: f"http://127.0.0.1:{port}" for name, port in self.ports.items()}
        self.data_env |= {
            "READMISSION_RAW_URL": f"sqlite:///{self.state / 'raw.db'}",
            "READMISSION_CLEAN_URL": f"sqlite:///{self.state / 'clean.db'}",
            "READMISSION_STAGING_DIR": str(self.state / "staging"),
            "READMISSION_ALL_BATCHES": "true",
            "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
            "READMISSION_TRACKING_URI": self.urls["mlflow"],
            "READMISSION_GIT_COMMIT": _git_commit(),
        }
        self.monitoring = Monitoring(ROOT, self.state, self.ports, processes)

    def run(self, *, once: bool) -> None:
        """Run every stage, then wait for Ctrl-C unless `once`."""
        self.say(f"data set: {self.dataset['kind']}, {self.dataset['path']}")
        self.say(f"state in {self.state}, logs in {self.processes.logs}")
        if self.dataset["synthetic"]:
            CONSOLE.print(console.SYNTHETIC_BANNER)
        self.monitoring.find()
        if self.monitoring.missing:
            self.say(f"not on this machine, so without: {', '.join(self.monitoring.missing)}")
        self.monitoring.start_statsd()
        self.start_mlflow()
        pipeline = self.start_airflow()
        self.train_model(pipeline)
        self.wait_for_serving()
        answer, patient = self.predict()
        self.report(answer, patient)
        if not once:
            CONSOLE.print("Press Ctrl-C to stop everything. The state stays in .demo/ for the next run.")
            while True:
                self.processes.check()
                time.sleep(1)

    def say(self, line: str) -> None:
        """Print one line of progress with the seconds since the start."""
        CONSOLE.print(f"[dim]{time.monotonic() - self.began:6.1f} s[/]  {line}", soft_wrap=True)

    def data_command(self, *arguments: str) -> dict[str, Any]:
        """Run one command of server 1 and return the JSON that it prints."""
        outcome = subprocess.run(
            [python("data"), "-m", "readmission_data", *arguments, "--json"],
            env={**os.environ, **self.data_env},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        if outcome.returncode != 0:
            raise DemoError(f"`readmission_data {' '.join(arguments)}` failed; see the message above")
        return dict(json.loads(outcome.stdout))

    def start_mlflow(self) -> None:
        """Start the tracking server on SQLite and a local artifact folder."""
        port = self.ports["mlflow"]
        command: list[str | Path] = [
            *(python("tracking").parent / "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)),
            *("--backend-store-uri", f"sqlite:///{self.state / 'mlflow.db'}"),
            *("--artifacts-destination", self.state / "artifacts", "--workers", "1"),
        ]
        env = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "GIT_PYTHON_REFRESH": "quiet"}
        self.processes.start("mlflow", command, env, self.state)

    def start_airflow(self) -> airflow.Pipeline:
        """Start Airflow; return its DAGs when Airflow and MLflow are ready to run them."""
        env = airflow.settings(self.state / "airflow", ROOT / "server1-data" / "dags", self.ports["airflow"])
        airflow.start(
            self.processes,
            python("data").parent / "airflow",
            {**env, **self.monitoring.airflow_settings(), **self.data_env},
            self.ports["airflow"],
            ROOT,
        )
        self.processes.wait_until(lambda: responds(f"{self.urls['mlflow']}/health"), "MLflow")
        self.say(f"MLflow is ready at {self.urls['mlflow']}")
        pipeline = airflow.Pipeline(self.urls["airflow"])
        self.processes.wait_until(pipeline.parsed, "Airflow")
        if broken := pipeline.import_errors():
            raise DemoError(f"Airflow cannot import {', '.join(broken)}")
        self.say(f"Airflow is ready at {self.urls['airflow']}")
        return pipeline

    def train_model(self, pipeline: airflow.Pipeline) -> None:
        """Run the three DAGs in Airflow until a model of all the data is registered; start serving."""
        progress = Progress(pipeline, self.say, self.state / "airflow" / "logs")
        for dag in reversed(airflow.DAGS):
            pipeline.unpause(dag)
        if progress.continued:
            if self.is_current():
                self.say("nothing to do for the DAGs: the model of all the data is registered already")
                self.start_serving()
                return
            pipeline.trigger(airflow.DAGS[0])
        # Otherwise Airflow starts the first DAG by itself, since it has a schedule and was unpaused just now.
        self.follow(progress)
        if not self.is_current():
            # An interrupted run did not trigger the next DAG. Another load does.
            pipeline.trigger(airflow.DAGS[0])
            progress.expect()
            self.follow(progress)
            if not self.is_current():
                raise DemoError(f"the DAGs ended without a current model: see {progress.logs}")
        if not self.serving:
            self.start_serving()

    def follow(self, progress: Progress) -> None:
        """Wait until Airflow has nothing more to do; start serving during the training."""
        with CONSOLE.status("waiting for the first task") as spinner:
            while not progress.idle:
                self.processes.check()
                running = progress.look()
                if running:
                    spinner.update(f"{running[0]} is running")
                # Training leaves a core free, on which the API and the pages can start.
                if "train_and_register.train" in running and not self.serving:
                    self.start_serving()
                time.sleep(LOOK_SECONDS)

    def is_current(self) -> bool:
        """Return whether the registered model was trained on all the data."""
        return bool(self.data_command("status")["current"])

    def start_serving(self) -> None:
        """Start the API, the pages and monitoring, without waiting for them."""
        self.serving = True
        api_env = {
            "READMISSION_API_HOST": "127.0.0.1",
            "READMISSION_API_PORT": str(self.ports["api"]),
            "READMISSION_API_TRACKING_URI": self.urls["mlflow"],
            "READMISSION_API_STATE_DIR": str(self.state / "serving"),
            "READMISSION_API_PREDICTION_LOG_URL": f"sqlite:///{self.state / 'predictions.db'}",
        }
        ui_env = {
            "READMISSION_UI_ADDRESS": "127.0.0.1",
            "READMISSION_UI_PORT": str(self.ports["ui"]),
            "READMISSION_UI_API_URL": self.urls["api"],
        }
        self.processes.start("api", [python("api"), "-m", "readmission_api"], api_env, ROOT)
        self.monitoring.start(python("retrain"))
        if self.monitoring.runs("prometheus"):
            ui_env["READMISSION_UI_PROMETHEUS_URL"] = self.urls["prometheus"]
        self.processes.start("ui", [python("ui"), "-m", "readmission_ui"], ui_env, ROOT)

    def wait_for_serving(self) -> None:
        """Wait until the API serves the model, and the pages and monitoring respond."""
        self.processes.wait_until(lambda: responds(f"{self.urls['api']}/health/live"), "the API")
        # The API may have started before there was a model; it would look for one within half a minute.
        if not responds(f"{self.urls['api']}/health/ready"):
            httpx.post(f"{self.urls['api']}/reload_model", timeout=60).raise_for_status()
        self.processes.wait_until(lambda: responds(f"{self.urls['api']}/health/ready"), "the API")
        self.processes.wait_until(lambda: responds(f"{self.urls['ui']}/_stcore/health"), "the pages")
        self.monitoring.wait()
        self.say(f"the API is ready at {self.urls['api']}, the pages at {self.urls['ui']}")

    def predict(self) -> tuple[dict[str, Any], str]:
        """Send the last of the schema's example patients; return the answer and the patient's name."""
        schema = httpx.get(f"{self.urls['api']}/model/schema", timeout=10).raise_for_status().json()
        example = schema["examples"][-1]
        reply = httpx.post(f"{self.urls['api']}/predict", json=example["patient"], timeout=10)
        return dict(reply.raise_for_status().json()), str(example["name"]["en"])

    def report(self, answer: dict[str, Any], patient: str) -> None:
        """Print the table."""
        status = self.data_command("status")
        running = {"airflow", *self.processes.running}
        addresses = {title: self.urls[name] for name, title in TITLES.items() if name in running}
        CONSOLE.print(console.summary(status, answer, patient, addresses, self.began))
        if status["model"]["dataset"] == "synthetic":
            CONSOLE.print(console.SYNTHETIC_BANNER)


def _git_commit() -> str:
    outcome = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return outcome.stdout.strip() or "unknown"
