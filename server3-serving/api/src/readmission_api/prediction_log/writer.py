"""The thread that writes predictions down, whatever happens to the database.

It shares its core and Python's lock with the requests, and each time that they want the lock back while it
is at work costs them up to a switch interval: a batch written in one go held 32 connections up for 60 ms.
So it writes a slice at a time and lets them have the core in between.
"""

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cached_property
from itertools import chain, islice
from typing import Any, Final, Literal

import msgspec
from sqlalchemy import Engine, insert

from readmission_api.logs import logger
from readmission_api.metrics.instruments import Instruments
from readmission_api.prediction_log.tables import PREDICTIONS, create_tables
from readmission_api.scored import Scored, ScoredQueue

_TURN_SECONDS: Final = 0.25
_ROWS_A_TRANSACTION: Final = 2_000
_ROWS_A_SLICE: Final = 100
_REST_SECONDS: Final = 0.002
_LONGEST_PAUSE: Final = 10.0

_COLUMNS: Final = (
    "request_id",
    "number",
    "predicted_at",
    "model",
    "version",
    "probability",
    "class",
    "inputs",
)


class PredictionWriter:
    """Writes predictions in the background.

    A request only ever puts its rows into a queue. While the database fails they wait there; what does not
    fit any more is dropped and counted.
    """

    def __init__(self, engine: Engine, instruments: Instruments, *, buffer: int) -> None:
        self._engine = engine
        self._instruments = instruments
        self._queue = ScoredQueue(buffer)
        self._crowded = buffer // 2
        self._in_hand: list[Scored] = []
        self._written = 0
        # Rows that move from the queue into the hand are in one of both for whoever counts them.
        self._moving = threading.Lock()
        self._wanted = threading.Event()
        self._stopping = False
        self._deadline = 0.0
        self._dropped = instruments.log_dropped.labels("buffer_full")
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)
        self._tables_made = False
        self.state: Literal["ok", "failing"] = "ok"

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Write what waits, for so long at most, and end."""
        self._deadline = time.monotonic() + seconds
        self._stopping = True
        self._wanted.set()
        self._thread.join(timeout=seconds + 5)
        lost = self._queue.clear() + sum(len(scored.rows) for scored in self._in_hand)
        if lost:
            self._instruments.log_dropped.labels("shutdown").inc(lost)
            logger.error("the prediction log lost %d rows at shutdown", lost)
        self._engine.dispose()

    def offer(self, scored: Scored) -> None:
        """Take in scored patients; never waits."""
        if left := len(scored.rows) - self._queue.offer(scored):
            self._dropped.inc(left)

    def waiting(self) -> int:
        """Rows that are not written yet."""
        return self._due() - self._written

    def flush(self, seconds: float) -> bool:
        """Ask for what waits to be written now, and wait for it so long at most; says whether it is. Blocks.

        What comes in meanwhile is not waited for: under load something waits always.
        """
        wanted = self._due()
        self._wanted.set()
        end = time.monotonic() + seconds
        while self._written < wanted and self.state == "ok" and time.monotonic() < end:
            time.sleep(0.01)
        return self._written >= wanted

    def _due(self) -> int:
        """Rows written so far, once all that waits now is."""
        with self._moving:
            return self._written + len(self._queue) + sum(len(scored.rows) for scored in self._in_hand)

    def _run(self) -> None:
        pause = _TURN_SECONDS
        while True:
            self._wanted.wait(0 if self._stopping else pause)
            self._wanted.clear()
            try:
                self._write_all()
            except Exception as error:  # noqa: BLE001 - whatever it is, the next try may go better
                # Only its name: a driver's message repeats the row it failed on.
                self._failed(type(error).__name__)
                pause = min(pause * 2, _LONGEST_PAUSE)
            else:
                self._recovered()
                pause = _TURN_SECONDS
            if self._stopping and (not self.waiting() or time.monotonic() >= self._deadline):
                return
            if self._stopping:
                time.sleep(_TURN_SECONDS)

    def _write_all(self) -> None:
        if not self._tables_made:
            create_tables(self._engine)
            self._tables_made = True
        while True:
            if not self._in_hand:
                with self._moving:
                    self._in_hand = self._queue.take(_ROWS_A_TRANSACTION)
            if not self._in_hand:
                return
            rows = chain.from_iterable(_rows(scored) for scored in self._in_hand)
            written = 0
            with self._engine.begin() as connection:
                while part := list(islice(rows, _ROWS_A_SLICE)):
                    connection.exec_driver_sql(self._insert, part)
                    written += len(part)
                    # Rows that would be lost for want of room come before the requests' comfort.
                    if not self._stopping and len(self._queue) < self._crowded:
                        time.sleep(_REST_SECONDS)
            with self._moving:
                self._in_hand = []
                self._written += written
            self._instruments.log_written.inc(written)

    @cached_property
    def _insert(self) -> str:
        # Tuples for the driver itself: SQLAlchemy's own way of many rows takes as long again.
        return str(insert(PREDICTIONS).compile(self._engine, column_keys=_COLUMNS))

    def _failed(self, name: str) -> None:
        self._instruments.log_failures.inc()
        if self.state == "ok":
            logger.error("the prediction log can't be written (%s); predictions wait in memory", name)
        self.state = "failing"

    def _recovered(self) -> None:
        if self.state == "failing":
            logger.info("the prediction log is written again")
        self.state = "ok"


def _rows(scored: Scored) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of `_COLUMNS`."""
    predictor = scored.predictor
    names, threshold = predictor.patients.names, predictor.threshold
    model, version = predictor.version.model, predictor.version.version
    at = datetime.fromtimestamp(scored.at, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    for request_id, number, row, risk in zip(
        scored.request_ids, scored.numbers, scored.rows, scored.risks, strict=True
    ):
        inputs = _ENCODE(dict(zip(names, row, strict=True))).decode()
        yield request_id, number, at, model, version, risk, int(risk >= threshold), inputs


_ENCODE: Final = msgspec.json.Encoder().encode
