"""A real MLflow server with a local store, and the versions that tests register in it."""

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlflow import MlflowClient, MlflowException
from mlflow.artifacts import download_artifacts  # noqa: F401 - imported once, before servers are timed

CHECKOUT = Path(__file__).parents[4]
MODEL = "best_diabetes_readmission_model"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Tracking:
    """An MLflow server that can be stopped and started again on the same port and store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    def start(self) -> None:
        command = [
            CHECKOUT / ".venvs/tracking/bin/python", "-m", "mlflow", "server",
            "--backend-store-uri", f"sqlite:///{self.folder / 'mlflow.db'}",
            "--artifacts-destination", str(self.folder / "artifacts"),
            "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1",
        ]  # fmt: skip
        environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, env=environment, start_new_session=True
            )
        end = time.monotonic() + 400
        while True:
            try:
                urllib.request.urlopen(f"{self.uri}/health", timeout=1).close()  # noqa: S310
            except OSError:
                if time.monotonic() > end or self._process.poll() is not None:
                    raise RuntimeError((self.folder / "server.log").read_text()[-2000:]) from None
                time.sleep(0.2)
            else:
                return

    def stop(self) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    @contextmanager
    def away(self) -> Iterator[None]:
        self.stop()
        try:
            yield
        finally:
            self.start()


class Registry:
    """One registered model of a tracking server, with a name for this test."""

    def __init__(self, tracking: Tracking, model: str) -> None:
        self.uri = tracking.uri
        self.model = model
        self.client = MlflowClient(tracking.uri, tracking.uri)
        try:
            self._experiment = self.client.create_experiment("diabetes_readmission_training")
        except MlflowException:
            self._experiment = self.client.get_experiment_by_name(
                "diabetes_readmission_training"
            ).experiment_id
        self.client.create_registered_model(model)

    def register(self, folder: Path, *aliases: str, manifest_sha256: str | None = None) -> str:
        run = self.client.create_run(self._experiment).info
        self.client.log_artifacts(run.run_id, str(folder), "model")
        schema = json.loads((folder / "input_schema.json").read_bytes())
        tags = {
            "manifest_sha256": manifest_sha256 or sha256(folder / "manifest.json"),
            "dataset": schema["dataset"]["kind"],
            "schema_version": schema["schema_version"],
        }
        created = self.client.create_model_version(
            self.model, f"{run.artifact_uri}/model", run.run_id, tags=tags
        )
        for alias in aliases:
            self.point(alias, created.version)
        return str(created.version)

    def point(self, alias: str, version: str) -> None:
        self.client.set_registered_model_alias(self.model, alias, version)

    def unset(self, alias: str) -> None:
        self.client.delete_registered_model_alias(self.model, alias)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def changed_copy(folder: Path, into: Path, *, resign: bool = True, **schema: object) -> Path:
    """Copy a version's files with other top-level values in its schema; `resign` fixes the manifest."""
    shutil.copytree(folder, into)
    path = into / "input_schema.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | schema))
    if resign:
        sign(into)
    return into


def sign(folder: Path) -> None:
    manifest = folder / "manifest.json"
    names = json.loads(manifest.read_bytes())
    manifest.write_text(json.dumps({name: sha256(folder / name) for name in names}))
