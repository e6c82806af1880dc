"""The inference API over HTTP: one method an endpoint, typed answers, typed errors."""

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from io import StringIO
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, SecretStr, ValidationError

from readmission_ui.api_answers import (
    Explanation,
    Health,
    Model,
    Prediction,
    Refusal,
    Reloaded,
    ScoredCsv,
    ScoredRow,
)
from readmission_ui.errors import (
    ApiAwayError,
    BusyError,
    ModelAwayError,
    RefusedError,
    TokenRefusedError,
    UnexpectedAnswerError,
)
from readmission_ui.schema import Patient, Schema

CONNECT_SECONDS = 2.0

Shape = TypeVar("Shape", bound=BaseModel)


class ApiClient:
    """A connection pool to one API. Safe to share between the sessions of the process."""

    def __init__(self, url: str, timeout: float, token: SecretStr | None = None) -> None:
        # What the settings name is reached directly: a proxy of the environment is for the outside world.
        self._http = httpx.Client(
            base_url=url,
            timeout=httpx.Timeout(timeout, connect=CONNECT_SECONDS),
            headers=_bearer(token),
            trust_env=False,
        )
        self.url = url

    def health(self) -> Health:
        """Ask whether the API is ready. One without a model answers that too: it is not an error."""
        answer = self._send("GET", "/health", refused=False)
        return _read(Health, answer)

    def model(self) -> Model:
        """Ask which version answers."""
        return _read(Model, self._send("GET", "/model"))

    def schema(self) -> Schema:
        """Ask what a patient's fields are."""
        answer = self._send("GET", "/model/schema")
        with _understood(answer):
            return Schema.parse(answer.json())

    def card(self) -> str:
        """Return the model card, in Markdown."""
        return self._send("GET", "/model/card").text

    def predict(self, patient: Patient) -> Prediction:
        """Ask for one patient's risk. RefusedError tells which fields the API did not take."""
        return _read(Prediction, self._send("POST", "/predict", json=patient))

    def explain(self, patient: Patient) -> Explanation:
        """Ask what moved one patient's risk."""
        return _read(Explanation, self._send("POST", "/explain", json=patient))

    def reload(self, token: SecretStr | None) -> Reloaded:
        """Tell the API to look for another version now."""
        return _read(Reloaded, self._send("POST", "/reload_model", headers=_bearer(token)))

    def metrics(self) -> str:
        """Return the API's metrics in Prometheus' text format."""
        return self._send("GET", "/metrics").text

    def predict_csv(self, content: bytes) -> ScoredCsv:
        """Ask for the risks of the patients in a CSV, UTF-8 with a header of field names."""
        answer = self._send(
            "POST", "/predict_batch", content=content, headers={"content-type": "text/csv; charset=utf-8"}
        )
        with _understood(answer):
            return ScoredCsv(
                version=answer.headers.get("x-model-version", ""),
                threshold=float(answer.headers["x-threshold"]),
                rows=tuple(ScoredRow.model_validate(row) for row in csv.DictReader(StringIO(answer.text))),
            )

    def _send(self, method: str, path: str, *, refused: bool = True, **request: Any) -> httpx.Response:  # noqa: ANN401
        try:
            answer = self._http.request(method, path, **request)
        except httpx.HTTPError as error:
            raise ApiAwayError(f"{self.url} does not answer: {error}") from error
        if refused and answer.is_error:
            _raise_refusal(answer)
        return answer


def _bearer(token: SecretStr | None) -> dict[str, str]:
    return {} if token is None else {"authorization": f"Bearer {token.get_secret_value()}"}


@contextmanager
def _understood(answer: httpx.Response) -> Iterator[None]:
    """Turn an answer of another shape into one error. What it holds is not repeated: it may be a patient."""
    try:
        yield
    except (ValidationError, ValueError, KeyError, csv.Error) as error:
        raise UnexpectedAnswerError(
            f"{answer.request.method} {answer.request.url.path} was answered with {answer.status_code} "
            "and a body that these pages do not understand"
        ) from error


def _read(shape: type[Shape], answer: httpx.Response) -> Shape:
    with _understood(answer):
        return shape.model_validate_json(answer.content)


def _raise_refusal(answer: httpx.Response) -> None:
    refusal = _read(Refusal, answer)
    if answer.status_code in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        raise TokenRefusedError(refusal.message)
    if refusal.code == "no_model":
        raise ModelAwayError(refusal.message)
    if refusal.code in {"overloaded", "shutting_down"}:
        raise BusyError(refusal.message)
    raise RefusedError(refusal.code, refusal.message, refusal.problems)
