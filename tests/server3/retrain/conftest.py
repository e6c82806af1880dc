"""A real Airflow API server, one a session, and webhooks that speak to it."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from readmission_retrain.app import create_app
from readmission_retrain.settings import RetrainSettings
from server3.retrain.support.airflow import PASSWORD, USER, Airflow
from server3.retrain.support.webhook import Webhook


@pytest.fixture(scope="session")
def airflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflow]:
    server = Airflow(tmp_path_factory.mktemp("airflow") / "home")
    try:
        yield server.start()
    finally:
        server.stop()


@pytest.fixture
def airflow(airflow_server: Airflow) -> Airflow:
    """Airflow without a run, the DAG not paused."""
    airflow_server.forget()
    return airflow_server


@pytest.fixture
def webhook(airflow: Airflow, tmp_path: Path) -> Iterator[Webhook]:
    """The webhook as a separate process, not started yet."""
    process = Webhook(tmp_path, airflow.url)
    yield process
    process.kill()


class Clock:
    """The webhook's clock, which a test can move."""

    def __init__(self) -> None:
        self.time = datetime(2026, 3, 1, 8, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time

    def move(self, **by: float) -> None:
        self.time += timedelta(**by)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def timed(airflow: Airflow, tmp_path: Path, clock: Clock) -> Callable[..., TestClient]:
    """Call it for a client of a webhook in this process that goes by `clock`; settings by name."""

    def make(**settings: object) -> TestClient:
        given = {
            "airflow_url": airflow.url,
            "airflow_user": USER,
            "airflow_password": PASSWORD,
            "airflow_timeout_seconds": 120,
            "state": tmp_path / "retrain.json",
            **settings,
        }
        return TestClient(create_app(RetrainSettings(**given), now=clock))

    return make
