"""Predictions sent to server 3's node port over TLS while something else happens, and what became of each."""

import http.client
import json
import ssl
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

PORT = 30080
PAUSE = 0.05
"""Seconds after an answer that is not 200."""


@dataclass
class Answers:
    """What was answered: how often each outcome came, the seconds of each request, and the request ids."""

    outcomes: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    first: dict[str, str] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """Return the number of requests."""
        return len(self.seconds)

    @property
    def failed(self) -> dict[str, int]:
        """Return the outcomes other than 200."""
        return {outcome: count for outcome, count in self.outcomes.items() if outcome != "200"}

    @property
    def summary(self) -> str:
        """Return the counts and the slow end in one line."""
        failed = sum(self.failed.values())
        return f"{self.total} requests, {failed} failed, p99 {self.quantile(0.99) * 1000:.0f} ms"

    def quantile(self, share: float) -> float:
        """Return the seconds within which a share of the requests was answered."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


class Client:
    """Asks the API of a site at its node port."""

    def __init__(self, address: str, authority: Path, token: str) -> None:
        self.address = address
        self.headers = {"content-type": "application/json", "authorization": f"Bearer {token}"}
        self.context = ssl.create_default_context(cafile=str(authority))
        self._body: bytes | None = None

    def connect(self, seconds: float = 15) -> http.client.HTTPSConnection:
        """Return a new connection, which opens with its first request."""
        return http.client.HTTPSConnection(self.address, PORT, timeout=seconds, context=self.context)

    def patient(self) -> bytes:
        """Return the first example of the API's own documentation."""
        if self._body is None:
            connection = self.connect()
            connection.request("GET", "/openapi.json")
            document = json.load(connection.getresponse())
            content = document["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]
            self._body = json.dumps(next(iter(content["examples"].values()))["value"]).encode()
        return self._body

    def predict(self) -> dict[str, object]:
        """Return one prediction. Raise OSError or HTTPException if the API does not answer 200."""
        connection = self.connect()
        connection.request("POST", "/predict", self.patient(), self.headers)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != http.client.OK:
            raise http.client.HTTPException(f"{answer.status} {body[:300]!r}")
        found: dict[str, object] = json.loads(body)
        return found


class Load:
    """A `with` block during which threads send predictions; one half opens a connection per request."""

    def __init__(self, client: Client, threads: int = 4, rate: float | None = None) -> None:
        self.client = client
        self.answers = Answers()
        self._pause = threads / rate if rate else 0.0
        self._end = threading.Event()
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._work, args=(number % 2 == 0,), daemon=True)
            for number in range(threads)
        ]

    def __enter__(self) -> Self:
        self.client.patient()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    def _work(self, keeps: bool) -> None:  # noqa: FBT001 (a thread's only argument)
        connection = None
        while not self._end.is_set():
            if not keeps or connection is None:
                connection = self.client.connect()
            began, identity = time.monotonic(), None
            try:
                connection.request("POST", "/predict", self.client.patient(), self.client.headers)
                answer = connection.getresponse()
                body = answer.read()
                outcome = str(answer.status)
                if answer.status == http.client.OK:
                    identity = json.loads(body)["request_id"]
            except (OSError, http.client.HTTPException) as error:
                outcome = f"{'kept' if keeps else 'new'} connection: {type(error).__name__}: {error}"
                connection = None
            if not keeps and connection is not None:
                connection.close()
            with self._lock:
                self.answers.outcomes[outcome] += 1
                self.answers.seconds.append(time.monotonic() - began)
                self.answers.first.setdefault(outcome, time.strftime("%T"))
                if identity:
                    self.answers.ids.append(identity)
            time.sleep(self._pause if outcome == "200" else max(self._pause, PAUSE))
