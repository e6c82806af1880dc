"""Send patients at a steady rate, and their outcomes some time after each prediction."""

import asyncio
import signal
import time
from collections import deque
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, Final

import httpx
from tqdm import tqdm

from readmission_data.errors import ReplayError
from readmission_data.replay.options import ReplayOptions, ReplaySettings
from readmission_data.replay.patients import Patient
from readmission_data.replay.result import Counts

_IN_FLIGHT: Final = 64
_TIMEOUT_SECONDS: Final = 30.0
_IDLE_SECONDS: Final = 1.0
"""Well below a server's own time limit, because a request on a closing connection would be lost."""
_OUTCOME_PAUSE: Final = 0.2
_OUTCOMES_AT_ONCE: Final = 500


class Traffic:
    """One replay against one API."""

    def __init__(self, settings: ReplaySettings, options: ReplayOptions) -> None:
        self.counts = Counts()
        self._url = settings.url
        self._headers = (
            {"Authorization": f"Bearer {settings.token.get_secret_value()}"} if settings.token else {}
        )
        self._options = options
        self._stopped = asyncio.Event()
        self._all_answered = asyncio.Event()
        self._waiting: deque[tuple[float, str, bool]] = deque()

    async def send(self, patients: Iterator[tuple[Patient, bool]]) -> Counts:
        """Send patients until all are sent, or until SIGINT or SIGTERM, which end it early and cleanly.

        Raise `ReplayError` if the API is unavailable at the start, or requires another token for outcomes.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stopped.set)
        limits = httpx.Limits(
            max_connections=_IN_FLIGHT + 1,
            max_keepalive_connections=_IN_FLIGHT + 1,
            keepalive_expiry=_IDLE_SECONDS,
        )
        async with httpx.AsyncClient(base_url=self._url, timeout=_TIMEOUT_SECONDS, limits=limits) as http:
            fields = await self._fields(http)
            outcomes = asyncio.create_task(self._send_outcomes(http))
            began = time.monotonic()
            try:
                await self._send_patients(http, patients, fields, outcomes)
            finally:
                self.counts.seconds = time.monotonic() - began
                self._all_answered.set()
            await outcomes
        self.counts.outcomes_unsent = len(self._waiting)
        return self.counts

    async def _fields(self, http: httpx.AsyncClient) -> list[str]:
        try:
            schema = await http.get("/model/schema")
        except httpx.HTTPError as error:
            raise ReplayError(f"no response from the API at {self._url} ({type(error).__name__})") from error
        if schema.status_code != HTTPStatus.OK:
            raise ReplayError(f"the API at {self._url} has no model: status {schema.status_code}")
        return [field["name"] for field in schema.json()["fields"]]

    async def _send_patients(
        self,
        http: httpx.AsyncClient,
        patients: Iterator[tuple[Patient, bool]],
        fields: list[str],
        outcomes: asyncio.Task[None],
    ) -> None:
        options, running = self._options, set[asyncio.Task[None]]()
        slots = asyncio.Semaphore(_IN_FLIGHT)
        began = time.monotonic()
        # No progress bar without a terminal.
        with tqdm(total=options.count or None, unit=" patients", disable=None) as progress:
            while not self._stopped.is_set() and (not options.count or self.counts.sent < options.count):
                if outcomes.done():
                    break
                if options.rate:
                    await self._pause(began + self.counts.sent / options.rate - time.monotonic())
                    if self._stopped.is_set():
                        break
                await slots.acquire()
                patient, readmitted = next(patients)
                body = {name: patient[name] for name in fields if name in patient}
                task = asyncio.create_task(self._send_one(http, body, readmitted=readmitted))
                running.add(task)
                task.add_done_callback(running.discard)
                task.add_done_callback(lambda _: slots.release())
                self.counts.sent += 1
                progress.update()
            await asyncio.gather(*running)

    async def _pause(self, seconds: float) -> None:
        """Wait, but return early if the replay was stopped."""
        if seconds <= 0:
            # Processes responses even if there is no time to pause.
            await asyncio.sleep(0)
            return
        try:
            await asyncio.wait_for(self._stopped.wait(), seconds)
        except TimeoutError:
            return

    async def _send_one(self, http: httpx.AsyncClient, body: Patient, *, readmitted: bool) -> None:
        counts, began = self.counts, time.perf_counter()
        try:
            answer = await http.post("/predict", json=body, headers=self._headers)
        except httpx.HTTPError as error:
            counts.failed[type(error).__name__] += 1
            return
        counts.latencies.append(time.perf_counter() - began)
        if answer.status_code == HTTPStatus.OK:
            told: dict[str, Any] = answer.json()
            counts.answered += 1
            counts.flagged += told["class"]
            counts.readmitted += readmitted
            counts.versions[str(told["version"])] += 1
            if self._options.delay is not None:
                self._waiting.append((time.monotonic() + self._options.delay, told["request_id"], readmitted))
        elif answer.is_client_error:
            counts.refused[str(answer.status_code)] += 1
        else:
            counts.failed[str(answer.status_code)] += 1

    async def _send_outcomes(self, http: httpx.AsyncClient) -> None:
        """Report outcomes as they fall due until all are reported; when stopped, only those that are due."""
        while not self._all_answered.is_set() or (self._waiting and not self._stopped.is_set()):
            if not await self._send_due(http):
                await asyncio.sleep(_OUTCOME_PAUSE)
        await self._send_due(http)

    async def _send_due(self, http: httpx.AsyncClient) -> bool:
        """Report the outcomes that are due, a few hundred at most; return whether there were any."""
        now, counts = time.monotonic(), self.counts
        due: list[dict[str, Any]] = []
        while self._waiting and self._waiting[0][0] <= now and len(due) < _OUTCOMES_AT_ONCE:
            _, request_id, readmitted = self._waiting.popleft()
            due.append({"request_id": request_id, "readmitted": readmitted})
        if not due:
            return False
        try:
            answer = await http.post("/outcomes", json=due, headers=self._headers)
        except httpx.HTTPError as error:
            counts.outcomes_failed[type(error).__name__] += len(due)
            return True
        if answer.status_code == HTTPStatus.UNAUTHORIZED:
            raise ReplayError(
                "the API refuses the token for outcomes: set READMISSION_API_TOKEN to its token"
            )
        if answer.status_code == HTTPStatus.OK:
            told = answer.json()
            counts.outcomes_recorded += told["recorded"]
            counts.outcomes_unknown += len(told["unknown"])
        else:
            counts.outcomes_failed[str(answer.status_code)] += len(due)
        return True
