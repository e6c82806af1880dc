"""The client of the tracking server: one that answers, or an error that says why not."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from urllib.parse import urlsplit

import httpx
import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from readmission_data.errors import TrackingError
from readmission_data.settings import DataSettings

SECONDS: Final = 5.0
"""How long MLflow may take to say that it is well; its own client would try for minutes."""


def connect(settings: DataSettings) -> MlflowClient:
    """Return a client of the tracking server; its address is set for the whole process, as downloads need.

    Raise TrackingError within seconds if the server does not answer.
    """
    # A bar for each of many small files would bury what a log has to say.
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    _check(settings.tracking_uri)
    mlflow.set_tracking_uri(settings.tracking_uri)
    return MlflowClient(settings.tracking_uri)


@contextmanager
def named_errors() -> Iterator[None]:
    """Raise TrackingError instead of MLflow's own errors, with the first line of their text."""
    try:
        yield
    except MlflowException as error:
        raise TrackingError(f"MLflow refused a request: {first_line(error)}") from error


def first_line(error: Exception) -> str:
    """Return the first line of a message, because MLflow may append its input."""
    return str(error).partition("\n")[0] or type(error).__name__


def _check(uri: str) -> None:
    address = urlsplit(uri)
    if address.scheme not in {"http", "https"}:
        return
    shown = f"{address.scheme}://{address.netloc.rpartition('@')[2]}"
    try:
        answer = httpx.get(f"{uri.rstrip('/')}/health", timeout=SECONDS)
    except httpx.HTTPError as error:
        raise TrackingError(f"MLflow at {shown} does not answer: {first_line(error)}") from error
    if answer.is_server_error:
        raise TrackingError(f"MLflow at {shown} is not ready: it answers {answer.status_code}")
