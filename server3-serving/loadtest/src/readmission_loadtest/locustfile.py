"""The users and systems of a hospital, simulated by Locust: `locust -f locustfile.py --host ADDRESS`.

It runs with the web pages or `--headless`, in one process or as `--master` and `--worker`. With `--web-login`
the pages ask for READMISSION_LOADTEST_WEB_USER and READMISSION_LOADTEST_WEB_PASSWORD.
"""

import itertools
import json
import logging
import random
import sys
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, ClassVar, Final

import requests
from locust import FastHttpUser, constant_throughput, events, task
from locust.env import Environment

from readmission_loadtest import web_login
from readmission_loadtest.errors import LoadTestError
from readmission_loadtest.measuring import PREDICT
from readmission_loadtest.patients import draw
from readmission_loadtest.settings import LoadTestSettings

_SETTINGS: Final = LoadTestSettings()
_HEADERS: Final = {"content-type": "application/json"} | (
    {"authorization": f"Bearer {_SETTINGS.token.get_secret_value()}"} if _SETTINGS.token else {}
)

log = logging.getLogger(__name__)


class Ward(FastHttpUser):
    """A hospital's system: mostly one patient per request, sometimes a ward's list or an explanation."""

    wait_time = constant_throughput(_SETTINGS.user_rate)
    connection_timeout = 10.0
    network_timeout = 30.0

    bodies: ClassVar[list[str]] = []
    lists: ClassVar[list[str]] = []
    _begins: ClassVar[Iterator[int]] = itertools.count()

    def on_start(self) -> None:
        """Start with a different patient than other users."""
        rng = random.Random(_SETTINGS.seed + next(self._begins))  # noqa: S311 - the same order each time
        self._rng = rng
        self._next = itertools.cycle(rng.sample(self.bodies, len(self.bodies)))

    @task
    def ask(self) -> None:
        """Send the next request; the settings' shares decide of which kind."""
        drawn = self._rng.random()
        if drawn < _SETTINGS.batch_share:
            self._send("/predict_batch", self._rng.choice(self.lists), "predictions")
        elif drawn < _SETTINGS.batch_share + _SETTINGS.explain_share:
            self._send("/explain", next(self._next), "contributions")
        else:
            self._send(PREDICT[0], next(self._next), "probability")

    def _send(self, path: str, body: str, wanted: str) -> None:
        with self.client.post(path, data=body, headers=_HEADERS, catch_response=True) as answer:
            if answer.status_code != HTTPStatus.OK:
                answer.failure(f"status {answer.status_code}")
            elif not _answers(answer.text, wanted):
                answer.failure(f"no {wanted} in the response")


def _answers(body: str | None, wanted: str) -> bool:
    try:
        return wanted in json.loads(body or "")
    except ValueError:
        return False


def prepare(address: str) -> None:
    """Draw the patients from the schema of the model that serves at `address`.

    Raise `LoadTestError` if no model serves there.
    """
    try:
        answer = requests.get(f"{address}/model/schema", timeout=10)
        answer.raise_for_status()
        schema: dict[str, Any] = answer.json()
    except requests.RequestException as error:
        raise LoadTestError(
            f"no model serves at {address} ({type(error).__name__}): start it with `make demo`, "
            "or set another address with --host"
        ) from error
    patients = draw(schema, _SETTINGS.patients, _SETTINGS.seed)
    rows = _SETTINGS.batch_rows
    Ward.bodies = [json.dumps(patient) for patient in patients]
    Ward.lists = [json.dumps(patients[first : first + rows]) for first in range(0, len(patients), rows)]


# Locust logs exceptions of its listeners and continues; here it must stop.
@events.test_start.add_listener  # type: ignore[untyped-decorator]
def _prepare(environment: Environment, **_: object) -> None:
    try:
        prepare(str(environment.host or "").rstrip("/"))
    except LoadTestError as error:
        log.error("%s", error)  # noqa: TRY400 - the message is complete, a traceback would hide it
        environment.process_exit_code = 2
        if environment.runner:
            environment.runner.quit()


@events.init.add_listener  # type: ignore[untyped-decorator]
def _guard(environment: Environment, **_: object) -> None:
    options, pages = environment.parsed_options, environment.web_ui
    if pages and pages.app and options and options.web_login:
        try:
            web_login.guard(pages, pages.app, _SETTINGS)
        except LoadTestError as error:
            sys.exit(f"{error}")
