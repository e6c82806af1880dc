"""The whole life of the model on this machine: `make demo`.

Starts MLflow, Airflow, the API, the pages and what watches them on loopback, with SQLite and local files
under `.demo/`, in a folder for each data set; lets the three DAGs bring the data set from CSV to a registered
model; sends one patient; prints one table.
A second run reuses what is there. `--once` stops everything after the table.
"""

import argparse
import fcntl
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.panel import Panel
from rich.table import Table

import airflow_here
from monitoring import PORTS, STATSD_UDP, Monitoring
from processes import DemoError, Processes, answers, free_port

ROOT = Path(__file__).resolve().parents[2]
CONSOLE = Console(highlight=False)


def python(environment: str) -> Path:
    """Return the interpreter of one environment."""
    return ROOT / ".venvs" / environment / "bin" / "python"


def main() -> int:
    """Run the demo; returns the exit code."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--once", action="store_true", help="stop everything after the table")
    parser.add_argument("--state", type=Path, default=ROOT / ".demo", help="folder for all that is made")
    arguments = parser.parse_args()
    state = arguments.state.resolve()
    state.mkdir(parents=True, exist_ok=True)
    with (state / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            CONSOLE.print("[red]demo:[/] another demo runs here; stop it first.")
            return 1
        with Processes(state / "logs") as processes:
            try:
                Demo(state, processes).run(once=arguments.once)
            except (DemoError, httpx.HTTPError) as error:
                CONSOLE.print(f"[red]demo:[/] {error}; the logs are in {processes.logs}")
                return 1
            except KeyboardInterrupt:
                CONSOLE.print("demo: stopped; `make demo` goes on from here.")
    return 0


class Demo:
    """The stages of the demo, in their order."""

    def __init__(self, state: Path, processes: Processes) -> None:
        self.processes = processes
        self.began = time.monotonic()
        self.data_env = {
            "READMISSION_CACHE_DIR": str(ROOT / ".cache"),
            "READMISSION_ALLOW_SYNTHETIC": "true",
        }
        self.dataset = self.data_command("dataset")
        # A folder for each data set: the generated sample and the real encounters never meet.
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
            CONSOLE.print(SYNTHETIC_BANNER)
        self.monitoring.find()
        if self.monitoring.missing:
            self.say(f"not on this machine, so without: {', '.join(self.monitoring.missing)}")
        self.monitoring.start_statsd()
        self.start_mlflow()
        self.run_dags()
        self.start_serving()
        answer, patient = self.predict()
        self.report(answer, patient)
        if not once:
            CONSOLE.print("Ctrl-C stops everything; what was made stays in .demo/ for the next run.")
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
            raise DemoError(f"`readmission_data {' '.join(arguments)}` failed, as said above")
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
        self.processes.wait_until(lambda: answers(f"{self.urls['mlflow']}/health"), "MLflow")
        self.say(f"MLflow answers at {self.urls['mlflow']}")

    def run_dags(self) -> None:
        """Let Airflow run the three DAGs until the model of all the data is registered."""
        env = airflow_here.settings(
            self.state / "airflow", ROOT / "server1-data" / "dags", self.ports["airflow"]
        )
        airflow_here.start(
            self.processes,
            python("data").parent / "airflow",
            {**env, **self.monitoring.airflow_settings(), **self.data_env},
            self.ports["airflow"],
            ROOT,
        )
        api = airflow_here.Api(self.urls["airflow"])
        self.processes.wait_until(lambda: api.parsed(airflow_here.DAGS), "the DAG processor")
        if broken := api.import_errors():
            raise DemoError(f"Airflow cannot read {', '.join(broken)}")
        self.say(f"Airflow answers at {self.urls['airflow']}")
        for dag in reversed(airflow_here.DAGS):
            api.unpause(dag)
        if self.data_command("status")["current"]:
            self.say("nothing to do for the DAGs: the model of all the data is registered already")
            return
        api.trigger("load_raw_data")
        seen: dict[tuple[str, str], str] = {}
        with CONSOLE.status("waiting for the first task") as spinner:
            while True:
                self.processes.check()
                running = self.show_progress(api, seen)
                if running:
                    spinner.update(running)
                elif self.data_command("status")["current"]:
                    return
                time.sleep(2)

    def show_progress(self, api: airflow_here.Api, seen: dict[tuple[str, str], str]) -> str:
        """Print each task that ended since the last look; return what runs now, or an empty string."""
        running = []
        for dag in airflow_here.DAGS:
            for run in api.runs(dag):
                if run["state"] in {"queued", "running"}:
                    running.append(dag)
                for task in api.tasks(dag, run["dag_run_id"]):
                    key = (run["dag_run_id"] + dag, task["task_id"])
                    state = str(task["state"])
                    if state == "running":
                        running.append(f"{dag}.{task['task_id']}")
                    if state != seen.get(key) and state in {"success", "skipped", "failed", "up_for_retry"}:
                        self.say(f"{dag}.{task['task_id']}: {state} ({task['duration'] or 0:.0f} s)")
                    seen[key] = state
                if run["state"] == "failed":
                    raise DemoError(f"{dag} failed: see {self.state / 'airflow' / 'logs'}")
        return f"{running[-1]} runs" if running else ""

    def start_serving(self) -> None:
        """Start the API, the pages and what watches, and wait until all are ready."""
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
        self.processes.wait_until(lambda: answers(f"{self.urls['api']}/health/ready"), "the API")
        self.processes.wait_until(lambda: answers(f"{self.urls['ui']}/_stcore/health"), "the pages")
        self.monitoring.wait()
        self.say(f"the API answers at {self.urls['api']}, the pages at {self.urls['ui']}")

    def predict(self) -> tuple[dict[str, Any], str]:
        """Send the last of the schema's example patients; return the answer and the patient's name."""
        schema = httpx.get(f"{self.urls['api']}/model/schema", timeout=10).raise_for_status().json()
        example = schema["examples"][-1]
        reply = httpx.post(f"{self.urls['api']}/predict", json=example["patient"], timeout=10)
        return dict(reply.raise_for_status().json()), str(example["name"]["en"])

    def report(self, answer: dict[str, Any], patient: str) -> None:
        """Print the one table."""
        status = self.data_command("status")
        table = Table(title="Readmission within 30 days", show_header=False, title_justify="left")
        table.add_column(style="bold")
        table.add_column()
        rows = status["raw"]["rows"]
        table.add_row("raw rows", f"{sum(rows.values()):,} in {len(status['raw']['batches'])} batches")
        for split, count in rows.items():
            table.add_row(f"  {split}", f"{count:,}")
        table.add_row("rejected rows", f"{status['raw']['rejected']:,}")
        table.add_row("patients in two splits", str(status["raw"]["patients_in_two_splits"]))
        table.add_row("features", str(status["clean"]["features"]))
        model = status["model"]
        table.add_row("model", f"{model['name']}, {model['candidate']}")
        table.add_row("version", f"{model['version']} ({', '.join(model['aliases'])})")
        for name, label in (("roc_auc", "test ROC AUC"), ("average_precision", "test average precision")):
            metric = model["test"][name]
            table.add_row(label, f"{metric['value']:.3f} (95 %: {metric['low']:.3f} to {metric['high']:.3f})")
        table.add_row(
            f"prediction, {patient}",
            f"risk {answer['probability']:.1%}, class {answer['class']} "
            f"at threshold {answer['threshold']:.3f}, by version {answer['version']}",
        )
        for name, what in (
            ("airflow", "Airflow"),
            ("mlflow", "MLflow"),
            ("api", "API"),
            ("ui", "pages"),
            ("prometheus", "Prometheus"),
            ("alertmanager", "Alertmanager"),
            ("retrain", "retraining webhook"),
        ):
            if name in self.processes.running or name == "airflow":
                table.add_row(what, self.urls[name])
        table.add_row("took", f"{time.monotonic() - self.began:.0f} s")
        CONSOLE.print(table)
        if model["dataset"] == "synthetic":
            CONSOLE.print(SYNTHETIC_BANNER)


SYNTHETIC_BANNER = Panel(
    "SYNTHETIC DATA: no data set was found, so this run uses a generated sample.\n"
    "Nothing it shows says anything about real patients. Put diabetes-130-us-hospitals.zip into data/,\n"
    "or set READMISSION_DATASET to its path or URL, and run `make demo` again.",
    style="bold white on red",
)


def _git_commit() -> str:
    outcome = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return outcome.stdout.strip() or "unknown"


if __name__ == "__main__":
    sys.exit(main())
