"""A client of Airflow's REST API (v2), and the webhook's requests about one DAG."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

import httpx

from readmission_retrain.errors import AirflowAwayError, AirflowRefusedError

_NOTE_LENGTH: Final = 1_000
"""The longest note that Airflow keeps."""


class Airflow:
    """The REST API of one Airflow. Calls block.

    Without `user` and `password` it takes the token that Airflow gives to everybody if it asks for no login.
    `timeout` is in seconds.
    """

    def __init__(
        self, url: str, *, user: str | None = None, password: str | None = None, timeout: float = 10
    ) -> None:
        self._user = user
        self._password = password
        self._http = httpx.Client(
            base_url=url,
            timeout=timeout,
            # Calls are seconds to hours apart: Airflow may close an idle connection just when it is used.
            limits=httpx.Limits(keepalive_expiry=1),
        )

    def call(
        self,
        method: str,
        path: str,
        *,
        passing: tuple[HTTPStatus, ...] = (),
        params: Mapping[str, Any] | None = None,
        json: Mapping[str, Any] | None = None,
    ) -> httpx.Response:
        """Send one request to `path` below `/api/v2/`, and return the response.

        A response with an error status is returned only if the status is in `passing`. Otherwise raise
        `AirflowAwayError` if Airflow does not respond or cannot right now, and `AirflowRefusedError` if it
        refuses the request.
        """
        # One token per call: calls are rare, and no expiry has to be tracked.
        headers = {"Authorization": f"Bearer {self._token()}"}
        return self._send(method, f"/api/v2/{path}", passing, headers=headers, params=params, json=json)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _token(self) -> str:
        if self._user is None or self._password is None:
            answer = self._send("GET", "/auth/token", ())
        else:
            login = {"username": self._user, "password": self._password}
            answer = self._send("POST", "/auth/token", (), json=login)
        return str(field(answer, "access_token"))

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
                f"No response from Airflow at {self._http.base_url} ({type(error).__name__})"
            ) from error
        if answer.is_success or answer.status_code in passing:
            return answer
        # The response may repeat what was sent, so only its status goes into the message.
        said = f"Airflow responded {answer.status_code} to {method} {path}"
        if answer.is_server_error:
            raise AirflowAwayError(said)
        raise AirflowRefusedError(f"{said}; check the user, the password and the name of the DAG")


class Dag:
    """One DAG of an Airflow. Every method blocks, and raises a `RetrainError` if there is no valid answer."""

    def __init__(self, airflow: Airflow, name: str) -> None:
        self._airflow = airflow
        self._path = f"dags/{quote(name, safe='')}"

    def paused(self) -> bool:
        """Return whether the DAG is paused."""
        return bool(field(self._airflow.call("GET", self._path), "is_paused"))

    def unfinished_runs(self) -> int:
        """Return the number of queued or running runs, no matter who started them."""
        params = {"state": ["queued", "running"], "limit": 1}
        return int(field(self._airflow.call("GET", f"{self._path}/dagRuns", params=params), "total_entries"))

    def has_run(self, run_id: str) -> bool:
        """Return whether a run of that name exists."""
        path = f"{self._path}/dagRuns/{quote(run_id, safe='')}"
        answer = self._airflow.call("GET", path, passing=(HTTPStatus.NOT_FOUND,))
        return answer.status_code != HTTPStatus.NOT_FOUND

    def start(self, run_id: str, note: str, conf: Mapping[str, Any]) -> None:
        """Start a run, unless a run of that name exists already."""
        body = {"dag_run_id": run_id, "logical_date": None, "note": note[:_NOTE_LENGTH], "conf": dict(conf)}
        self._airflow.call("POST", f"{self._path}/dagRuns", json=body, passing=(HTTPStatus.CONFLICT,))


def field(answer: httpx.Response, name: str) -> Any:  # noqa: ANN401 - JSON
    """Return one field of a JSON response; raise `AirflowAwayError` if Airflow did not write it."""
    try:
        return answer.json()[name]
    except (ValueError, KeyError, TypeError):
        raise AirflowAwayError(
            f"The response at {answer.url.copy_with(raw_path=b'/')} does not come from Airflow's API"
        ) from None
