"""Airflow's REST API (v2), as far as the webhook needs it."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

import httpx

from readmission_retrain.errors import AirflowAwayError, AirflowRefusedError
from readmission_retrain.settings import RetrainSettings

_NOTE_LENGTH: Final = 1_000
"""The longest note that Airflow keeps."""


class Airflow:
    """One DAG of one Airflow. Every method blocks, and raises a `RetrainError` where there is no answer."""

    def __init__(self, settings: RetrainSettings) -> None:
        self._dag = settings.dag
        self._user = settings.airflow_user
        self._password = settings.airflow_password
        self._http = httpx.Client(
            base_url=settings.airflow_url,
            timeout=settings.airflow_timeout_seconds,
            # Calls are hours apart: an idle connection would be closed just when it is used.
            limits=httpx.Limits(keepalive_expiry=1),
        )

    def paused(self) -> bool:
        """Tell whether the DAG is paused."""
        return bool(_told(self._call("GET", ""), "is_paused"))

    def unfinished_runs(self) -> int:
        """Count the runs that are queued or running, whoever started them."""
        answer = self._call("GET", "/dagRuns", params={"state": ["queued", "running"], "limit": 1})
        return int(_told(answer, "total_entries"))

    def has_run(self, run_id: str) -> bool:
        """Tell whether there is a run of that name."""
        answer = self._call("GET", f"/dagRuns/{quote(run_id, safe='')}", passing=(HTTPStatus.NOT_FOUND,))
        return answer.status_code != HTTPStatus.NOT_FOUND

    def start(self, run_id: str, note: str, conf: Mapping[str, Any]) -> None:
        """Start a run; one of that name that is there already is as good."""
        body = {"dag_run_id": run_id, "logical_date": None, "note": note[:_NOTE_LENGTH], "conf": dict(conf)}
        self._call("POST", "/dagRuns", json=body, passing=(HTTPStatus.CONFLICT,))

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _call(
        self,
        method: str,
        path: str,
        *,
        passing: tuple[HTTPStatus, ...] = (),
        params: Mapping[str, Any] | None = None,
        json: Mapping[str, Any] | None = None,
    ) -> httpx.Response:
        # A token a call: calls are rare, and nothing has to be remembered of when one ends.
        headers = {"Authorization": f"Bearer {self._token()}"}
        return self._send(
            method, f"/api/v2/dags/{self._dag}{path}", passing, headers=headers, params=params, json=json
        )

    def _token(self) -> str:
        if self._user is None or self._password is None:
            answer = self._send("GET", "/auth/token", ())
        else:
            login = {"username": self._user, "password": self._password.get_secret_value()}
            answer = self._send("POST", "/auth/token", (), json=login)
        return str(_told(answer, "access_token"))

    def _send(
        self,
        method: str,
        path: str,
        passing: tuple[HTTPStatus, ...],
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, Any] | None = None,
        json: Mapping[str, Any] | None = None,
    ) -> httpx.Response:
        try:
            answer = self._http.request(method, path, headers=headers, params=params, json=json)
        except httpx.HTTPError as error:
            raise AirflowAwayError(
                f"Airflow does not answer at {self._http.base_url} ({type(error).__name__})"
            ) from error
        if answer.is_success or answer.status_code in passing:
            return answer
        # Its words may repeat what it was sent: only the status goes on.
        said = f"Airflow answers {answer.status_code} to {method} {path}"
        if answer.is_server_error:
            raise AirflowAwayError(said)
        raise AirflowRefusedError(f"{said}: look at the user, the password and the name of the DAG")


def _told(answer: httpx.Response, name: str) -> Any:  # noqa: ANN401 - JSON
    try:
        return answer.json()[name]
    except (ValueError, KeyError, TypeError):
        raise AirflowAwayError(
            f"what answers at {answer.url.copy_with(raw_path=b'/')} is not Airflow's API"
        ) from None
