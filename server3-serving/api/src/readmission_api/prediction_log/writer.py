"""The thread that writes predictions to the log, whatever happens to the database.

It shares its core and Python's lock with the requests, and each time that they want the lock back while it
is at work costs them up to a switch interval: a batch written in one go held 32 connections up for 60 ms.
So it writes a slice at a time and rests in between.
"""

import random
import threading
import time
from collections.abc import Iterator
from typing import Final, Literal

from sqlalchemy import Engine, select
from sqlalchemy.exc import IntegrityError

from readmission_api.errors import ReadmissionApiError
from readmission_api.logs import logger
from readmission_api.metrics.instruments import Instruments
from readmission_api.prediction_log.rows import ROWS_AT_ONCE, LogRow, insert_rows, rows_of
from readmission_api.prediction_log.spool import Spool, forget_loaded, is_loaded, new_name, note_loaded
from readmission_api.prediction_log.tables import create_tables
from readmission_api.scored import Scored, ScoredQueue

_TURN_SECONDS: Final = 0.25
_SPOOL_SECONDS: Final = 2.0
_LOOK_SECONDS: Final = 60.0
_ROWS_A_TRANSACTION: Final = 2_000
_REST_SECONDS: Final = 0.002
_LONGEST_PAUSE: Final = 10.0


class PredictionWriter:
    """Writes predictions in the background.

    A request only ever puts its rows into a queue. While the database fails they go to the spool, where every
    pod finds them. Without a spool, or while that fails too, they wait in memory; what does not fit there is
    dropped and counted.
    """

    def __init__(self, engine: Engine, spool: Spool | None, instruments: Instruments, *, buffer: int) -> None:
        self.state: Literal["ok", "failing"] = "ok"
        self._engine = engine
        self._spool = spool
        self._instruments = instruments
        self._queue = ScoredQueue(buffer)
        self._crowded = buffer // 2
        self._in_hand: list[Scored] = []
        # The slice's name, once what is in hand was offered to the spool: it may have arrived there.
        self._slice: str | None = None
        self._settled = 0
        # Rows that move from the queue into the hand are in one of both for anyone who counts them.
        self._moving = threading.Lock()
        self._wanted = threading.Event()
        self._stopping = False
        self._deadline = 0.0
        self._dropped = instruments.log_dropped.labels("buffer_full")
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)
        self._tables_made = False
        self._pause = self._backoff = _TURN_SECONDS
        self._next_try = 0.0
        self._next_look = 0.0
        self._spool_fails = False

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Write what waits, within this time, and end."""
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
        """Return the number of rows that are in this process only."""
        return self._due() - self._settled

    def flush(self, seconds: float) -> bool:
        """Ask for what waits to be written now, wait this long at most, and return whether it is. Blocks.

        What comes in meanwhile is not waited for: under load something always waits.
        """
        wanted = self._due()
        self._wanted.set()
        end = time.monotonic() + seconds
        while self._settled < wanted and self.state == "ok" and time.monotonic() < end:
            time.sleep(0.01)
        # What left this process while the database failed may be in the spool. Without one it is in the log.
        in_log = self._spool is None or (self.state == "ok" and self._spool.empty)
        return in_log and self._settled >= wanted

    def _due(self) -> int:
        """Return the number of settled rows at which everything that waits now is settled."""
        with self._moving:
            return self._settled + len(self._queue) + sum(len(scored.rows) for scored in self._in_hand)

    def _run(self) -> None:
        while True:
            self._wanted.wait(0 if self._stopping else self._pause)
            self._wanted.clear()
            self._turn()
            if self._stopping and (not self.waiting() or time.monotonic() >= self._deadline):
                return
            if self._stopping:
                time.sleep(_TURN_SECONDS)

    def _turn(self) -> None:
        failing = self.state == "failing"
        # A process that ends has no time for a database that is away.
        leave = self._stopping and failing and self._spool is not None and not self._spool_fails
        if not leave and (self._stopping or time.monotonic() >= self._next_try):
            self._try_database()
        if self.state == "failing" and self._spool is not None:
            self._try_spool(self._spool)

    def _try_database(self) -> None:
        try:
            if not self._tables_made:
                create_tables(self._engine)
                self._tables_made = True
            written = self._write_all()
            loaded = self._load_spooled()
            if not written and not loaded and self.state == "failing":
                with self._engine.connect() as connection:
                    connection.execute(select(1))
        except Exception as error:  # noqa: BLE001 - whatever it is, the next try may go better
            # Only its name: a driver's message repeats the row it failed on.
            self._failed(type(error).__name__)
        else:
            self._recovered()

    def _write_all(self) -> bool:
        """Write what waits in this process; return whether anything did."""
        anything = False
        while self._take():
            anything = True
            written = sum(len(scored.rows) for scored in self._in_hand)
            try:
                with self._engine.begin() as connection:
                    if self._slice:
                        note_loaded(connection, self._slice)
                    for part in self._parts():
                        insert_rows(connection, part)
            except IntegrityError:
                # The spool had it after all, and another pod has loaded it.
                if not self._slice or not is_loaded(self._engine, self._slice):
                    raise
            else:
                self._instruments.log_written.inc(written)
            self._settle(written)
        return anything

    def _load_spooled(self) -> bool:
        """Move what waits in the spool into the database; return whether anything did."""
        spool, now = self._spool, time.monotonic()
        if spool is None or self._stopping or (spool.empty and now < self._next_look):
            return False
        self._next_look = now + _LOOK_SECONDS
        try:
            names = spool.waiting()
            # Each pod begins elsewhere.
            random.shuffle(names)
            for name in names:
                spool.load(self._engine, name, self._rest)
                if not self._has_time():
                    break
        except ReadmissionApiError as error:
            self._spool_failed(error)
            return False
        self._spool_fails = False
        if names and spool.empty:
            forget_loaded(self._engine)
        return bool(names)

    def _try_spool(self, spool: Spool) -> None:
        try:
            while self._take():
                rows = [row for part in self._parts() for row in part]
                self._slice = self._slice or new_name()
                spool.put(self._slice, rows)
                self._settle(len(rows))
        except ReadmissionApiError as error:
            self._spool_failed(error)
        else:
            self._spool_fails = False

    def _take(self) -> bool:
        """Take the next rows in hand, unless some are; return whether there are any."""
        if not self._in_hand:
            with self._moving:
                self._in_hand = self._queue.take(_ROWS_A_TRANSACTION)
        return bool(self._in_hand)

    def _settle(self, rows: int) -> None:
        with self._moving:
            self._in_hand = []
            self._settled += rows
        self._slice = None

    def _parts(self) -> Iterator[list[LogRow]]:
        """Yield the rows in hand, some at a time."""
        part: list[LogRow] = []
        for scored in self._in_hand:
            for row in rows_of(scored):
                part.append(row)
                if len(part) == ROWS_AT_ONCE:
                    yield part
                    part = []
                    self._rest()
        if part:
            yield part

    def _has_time(self) -> bool:
        """Return whether new rows can wait: not at the end of the process, nor while the buffer fills."""
        return not self._stopping and len(self._queue) < self._crowded

    def _rest(self) -> None:
        if self._has_time():
            time.sleep(_REST_SECONDS)

    def _failed(self, name: str) -> None:
        self._instruments.log_failures.inc()
        if self.state == "ok":
            where = "in the spool" if self._spool else "in memory"
            logger.error("the prediction log can't be written (%s); predictions wait %s", name, where)
        self.state = "failing"
        self._backoff = min(self._backoff * 2, _LONGEST_PAUSE)
        self._next_try = time.monotonic() + self._backoff
        self._pause = self._backoff if self._spool is None else min(self._backoff, _SPOOL_SECONDS)

    def _recovered(self) -> None:
        if self.state == "failing":
            logger.info("the prediction log is written again")
        self.state = "ok"
        self._backoff = self._pause = _TURN_SECONDS

    def _spool_failed(self, error: ReadmissionApiError) -> None:
        self._instruments.spool_failures.inc()
        if not self._spool_fails:
            logger.error("%s; predictions wait in memory", error)
        self._spool_fails = True
