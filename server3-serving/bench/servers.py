"""The servers to compare: how to start each one and send it a patient."""

import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[2]
PEERS = Path(__file__).parent / "peers"
VENVS = CHECKOUT / ".venvs"
MODEL = "best_diabetes_readmission_model"

MLFLOW = "mlflow models serve"
"""The registered version: its main model is the ONNX graph, which takes tensors."""

MLFLOW_SKLEARN = "mlflow models serve, the version's scikit-learn pipeline"
"""The pipeline in the version's folder: it takes raw rows."""

Patient = dict[str, Any]


@dataclass(frozen=True)
class Version:
    """The model version that every server loads: its folder, and the registry that it comes from."""

    folder: Path
    number: str
    tracking_uri: str
    schema: dict[str, Any]

    @property
    def graph(self) -> dict[str, Any]:
        return self.schema["graph"]


@dataclass
class Server:
    """A server on its own port; `body` turns a patient into the request that it expects."""

    name: str
    command: list[str | Path]
    port: int
    path: str
    body: Callable[[Patient], Any]
    risk: Callable[[Any], float | None]
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.path}"

    @property
    def pid(self) -> int:
        if self.process is None:
            raise RuntimeError(f"{self.name} is not running")
        return self.process.pid

    def start(self, core: int, folder: Path) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(PEERS), **self.environment}
        with (folder / f"{self.name.replace(' ', '-')}.log").open("wb") as log:
            self.process = subprocess.Popen(
                ["taskset", "-c", str(core), *self.command],
                env=environment,
                cwd=folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def ask(self, patient: Patient) -> float | None:
        request = urllib.request.Request(
            self.url, json.dumps(self.body(patient)).encode(), {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return self.risk(json.load(answer))

    def wait(self, patient: Patient, seconds: float = 180) -> float | None:
        """Wait until the server answers, and return its risk."""
        end = time.monotonic() + seconds
        while True:
            try:
                return self.ask(patient)
            except urllib.error.HTTPError as error:
                if error.code < 500 or time.monotonic() > end:  # 4xx: waiting does not help
                    raise RuntimeError(f"{self.name}: {error.code} {error.read()[:500]!r}") from None
            except OSError:
                if time.monotonic() > end:
                    raise RuntimeError(f"{self.name} does not answer") from None
            if self.process is None or self.process.poll() is not None:
                raise RuntimeError(f"{self.name} ended; see its log")
            time.sleep(0.3)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            # SIGTERM first: a server stops its own workers.
            self.process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(10)
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def _same(patient: Patient) -> Patient:
    return patient


def _probability(answer: dict[str, float]) -> float:
    return answer["probability"]


def catalogue(version: Version, folder: Path, ports: Callable[[], int]) -> list[Server]:
    """List the servers; ours is the first."""
    numeric, categorical = version.graph["numeric"], version.graph["categorical"]
    bench = {"BENCH_VERSION": str(version.folder)}
    uvicorn = ["-m", "uvicorn", "--host", "127.0.0.1", "--loop", "uvloop", "--http", "httptools"]
    quiet = ["--no-access-log", "--log-level", "warning"]

    def under_uvicorn(name: str, python: Path, app: str, port: int, **more: str) -> Server:
        command: list[str | Path] = [python, *uvicorn, *quiet, "--port", str(port), app]
        risk = _probability if name == "FastAPI + scikit-learn" else lambda _: None
        return Server(name, command, port, "/predict", _same, risk, bench | more)

    def ours(name: str, **more: str) -> Server:
        port = ports()
        settings = {
            "READMISSION_API_PORT": str(port),
            "READMISSION_API_TRACKING_URI": version.tracking_uri,
            "READMISSION_API_STATE_DIR": str(folder / name.replace(" ", "-")),
            "READMISSION_API_RELOAD_SECONDS": "3600",
        }
        command: list[str | Path] = [VENVS / "api/bin/python", "-m", "readmission_api"]
        return Server(name, command, port, "/predict", _same, _probability, settings | more)

    def mlflow_models_serve(
        name: str,
        venv: str,
        model: str | Path,
        body: Callable[[Patient], Any],
        risk: Callable[[Any], float | None],
    ) -> Server:
        port = ports()
        binaries = VENVS / venv / "bin"
        command: list[str | Path] = [binaries / "mlflow", "models", "serve", "-m", model]
        command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
        environment = {
            "MLFLOW_TRACKING_URI": version.tracking_uri,
            "PATH": f"{binaries}:{os.environ['PATH']}",
        }
        return Server(name, command, port, "/invocations", body, risk, environment)

    def tensors(patient: Patient) -> dict[str, Any]:
        return {
            "inputs": {
                "numeric": [[float(patient[name]) for name in numeric]],
                "categorical": [[patient[name] for name in categorical]],
            }
        }

    def protocol_v2(patient: Patient) -> dict[str, Any]:
        numbers = [float(patient[name]) for name in numeric]
        texts = [patient[name] for name in categorical]
        return {
            "inputs": [
                {"name": "numeric", "shape": [1, len(numbers)], "datatype": "FP32", "data": numbers},
                {"name": "categorical", "shape": [len(texts)], "datatype": "BYTES", "data": texts},
            ]
        }

    mlserver_port = ports()
    mlserver_folder = folder / "mlserver"
    mlserver_folder.mkdir()
    (mlserver_folder / "model-settings.json").write_text(
        json.dumps({"name": "readmission", "implementation": "mlserver_runtime.Readmission"})
    )
    (mlserver_folder / "settings.json").write_text(
        json.dumps(
            {
                "host": "127.0.0.1",
                "http_port": mlserver_port,
                "grpc_port": ports(),
                "metrics_port": ports(),
                "parallel_workers": 0,
                "debug": False,
            }
        )
    )
    return [
        ours("this project"),
        ours(
            "this project, with its prediction log",
            READMISSION_API_PREDICTION_LOG_URL=f"sqlite:///{folder / 'log.db'}",
        ),
        mlflow_models_serve(
            MLFLOW,
            "bench-mlflow",
            f"models:/{MODEL}@production",
            tensors,
            lambda answer: _first(answer["predictions"]),
        ),
        mlflow_models_serve(
            MLFLOW_SKLEARN,
            "data",
            version.folder / "sklearn",
            lambda patient: {"dataframe_records": [patient]},
            lambda answer: answer["predictions"][0][1],
        ),
        under_uvicorn(
            "FastAPI + scikit-learn",
            VENVS / "data/bin/python",
            "fastapi_sklearn:app",
            ports(),
            BENCH_FIELDS=",".join(field["name"] for field in version.schema["fields"]),
        ),
        Server(
            "MLServer",
            [VENVS / "bench-mlserver/bin/mlserver", "start", mlserver_folder],
            mlserver_port,
            "/v2/models/readmission/infer",
            protocol_v2,
            lambda answer: answer["outputs"][0]["data"][0],
            bench,
        ),
        under_uvicorn("FastAPI no-op", VENVS / "api/bin/python", "fastapi_noop:app", ports()),
        under_uvicorn("bare ASGI no-op", VENVS / "api/bin/python", "bare_asgi:app", ports()),
    ]


def _first(value: Any) -> float:
    while isinstance(value, list | dict):
        value = next(iter(value.values())) if isinstance(value, dict) else value[0]
    return float(value)
