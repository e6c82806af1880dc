"""What the tests of the inference API share: model versions, a tracking server, a running service."""

import csv
import itertools
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from readmission_api.model_store.verification import load
from readmission_api.predictor.predictor import ModelVersion, Predictor
from server3.api.support.service import Service
from server3.api.support.tracking import CHECKOUT, MODEL, Registry, Tracking, changed_copy, sha256

SUPPORT = Path(__file__).parent / "support"


@dataclass(frozen=True)
class Versions:
    """Folders of model versions: two trained on different rows, one on synthetic data."""

    one: Path
    two: Path
    synthetic: Path

    def exam(self, folder: Path) -> list[tuple[dict[str, Any], float]]:
        """Patients and what scikit-learn says of them."""
        kinds = {field["name"]: field["kind"] for field in schema_of(folder)["fields"]}
        with folder.with_suffix(".exam.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        return [
            (
                {
                    name: int(value) if kinds[name] == "integer" else value
                    for name, value in row.items()
                    if name != "expected"
                },
                float(row["expected"]),
            )
            for row in rows
        ]


def schema_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "input_schema.json").read_bytes())


@pytest.fixture(scope="session")
def versions(tmp_path_factory: pytest.TempPathFactory) -> Versions:
    folder = tmp_path_factory.mktemp("versions")
    subprocess.run(
        [
            CHECKOUT / ".venvs/data/bin/python",
            SUPPORT / "make_versions.py",
            folder,
            "one:1",
            "two:2",
            "synthetic:3:synthetic",
        ],
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    return Versions(folder / "one", folder / "two", folder / "synthetic")


def load_folder(folder: Path, version: str = "1") -> Predictor:
    return load(folder, ModelVersion(MODEL, version, "production", sha256(folder / "manifest.json")))


@pytest.fixture(scope="session")
def ruled(versions: Versions) -> Path:
    """The folder of version one with a contract of today: cohort, contradictions and intervals."""
    rules = json.loads(versions.one.with_name("rules.json").read_bytes())
    return changed_copy(versions.one, versions.one.with_name("ruled"), **rules)


@pytest.fixture(scope="session")
def predictor(versions: Versions) -> Predictor:
    return load_folder(versions.one)


@pytest.fixture(scope="session")
def patient(versions: Versions) -> dict[str, Any]:
    """A patient with every field."""
    return schema_of(versions.one)["examples"][0]["patient"]


@pytest.fixture(scope="session")
def tracking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tracking]:
    tracking = Tracking(tmp_path_factory.mktemp("tracking"))
    tracking.start()
    yield tracking
    tracking.stop()


_numbers = itertools.count(1)


@pytest.fixture
def registry(tracking: Tracking) -> Registry:
    """A registered model of the test's own, without versions."""
    return Registry(tracking, f"{MODEL}_{next(_numbers)}")


@pytest.fixture(scope="session")
def shared_registry(tracking: Tracking, versions: Versions) -> Registry:
    """Version 1 is production, version 2 the challenger. For tests that change no alias."""
    registry = Registry(tracking, MODEL)
    registry.register(versions.one, "production")
    registry.register(versions.two, "challenger")
    return registry


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory, shared_registry: Registry) -> Iterator[Service]:
    """A service that answers, with a prediction log. For tests that leave it as it was."""
    folder = tmp_path_factory.mktemp("service")
    log = f"sqlite:///{folder / 'log.db'}"
    with Service(folder, shared_registry, prediction_log_url=log) as service:
        yield service.start()


@pytest.fixture
def new_service(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Call it for a service of the test's own, not yet started; without a folder all share one."""
    services: list[Service] = []

    def create(registry: Registry | None = None, *, folder: Path | None = None, **settings: Any) -> Service:
        services.append(Service(folder or tmp_path / "service", registry, **settings))
        return services[-1]

    yield create
    for service in services:
        service.kill()
