"""The spool: predictions that wait for the database, as slices in the shared files, which outlive the pod.

A slice is one file with up to a few thousand rows. Any pod can load any slice, exactly once: the transaction
that inserts its rows also inserts its name, and names are unique.
"""

import time
import uuid
import zlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
from sqlalchemy import Connection, Engine, delete, insert, select
from sqlalchemy.exc import DataError, IntegrityError

from readmission_api.errors import SpoolFullError
from readmission_api.logs import logger
from readmission_api.metrics.instruments import Instruments
from readmission_api.prediction_log.rows import ROWS_AT_ONCE, LogRow, insert_rows
from readmission_api.prediction_log.tables import LOADED_SLICES
from readmission_api.shared_files import SharedFiles

_WAITING: Final = "spool/waiting"
_REFUSED: Final = "spool/refused"
_LISTED_SECONDS: Final = 60.0
_REMEMBERED: Final = timedelta(days=90)


class Spool:
    """The predictions of all pods that wait for the database. Used by one thread."""

    def __init__(self, files: SharedFiles, instruments: Instruments, *, limit_bytes: int) -> None:
        self._files = files
        self._instruments = instruments
        self._limit = limit_bytes
        self._bytes = 0
        self._listed = -_LISTED_SECONDS
        instruments.spool_limit_bytes.set(limit_bytes)

    @property
    def empty(self) -> bool:
        """Whether nothing was waiting at the last check of this process."""
        return self._bytes == 0

    def put(self, name: str, rows: Sequence[LogRow]) -> None:
        """Write a slice.

        Raise `SharedFilesError` or `SpoolFullError`; the rows are then not stored.
        """
        if time.monotonic() - self._listed > _LISTED_SECONDS:
            self.waiting()
        content = zlib.compress(msgspec.json.encode(rows))
        if self._bytes + len(content) > self._limit:
            raise SpoolFullError(
                "the spool is full: raise READMISSION_API_SPOOL_BYTES or bring the database back"
            )
        self._files.put(f"{_WAITING}/{name}", content)
        self._note_bytes(self._bytes + len(content))
        self._instruments.spooled.inc(len(rows))

    def waiting(self) -> list[str]:
        """Return the names of all pods' slices, oldest first. Raise `SharedFilesError` if that fails."""
        entries = self._files.list(_WAITING)
        self._listed = time.monotonic()
        self._note_bytes(sum(entry.size or 0 for entry in entries))
        return [entry.name for entry in entries]

    def load(self, engine: Engine, name: str, rest: Callable[[], None]) -> None:
        """Move one slice into the database; `rest` is called between its parts.

        Raise `SharedFilesError` or the database's error; the slice is then still there.
        """
        content = self._files.get(f"{_WAITING}/{name}")
        if content is None:
            return
        try:
            rows = msgspec.json.decode(zlib.decompress(content), type=list[LogRow])
            self._insert(engine, name, rows, rest)
        except (zlib.error, msgspec.DecodeError, UnicodeDecodeError, DataError) as error:
            # Kept for inspection; the other slices must not wait behind it.
            reason = type(error).__name__
            logger.error("a slice of the spool is damaged (%s): %s/%s", reason, _REFUSED, name)
            self._files.put(f"{_REFUSED}/{name}", content)
            self._instruments.spool_refused.inc()
        self._files.delete(f"{_WAITING}/{name}")
        self._note_bytes(max(0, self._bytes - len(content)))

    def _insert(self, engine: Engine, name: str, rows: Sequence[LogRow], rest: Callable[[], None]) -> None:
        try:
            with engine.begin() as connection:
                note_loaded(connection, name)
                for start in range(0, len(rows), ROWS_AT_ONCE):
                    insert_rows(connection, rows[start : start + ROWS_AT_ONCE])
                    rest()
        except IntegrityError:
            if not is_loaded(engine, name):
                raise
            # Another pod was faster.
            return
        self._instruments.spool_loaded.inc(len(rows))
        self._instruments.log_written.inc(len(rows))

    def _note_bytes(self, size: int) -> None:
        self._bytes = size
        self._instruments.spool_bytes.set(size)


def new_name() -> str:
    """Return a name for a slice: names sort by time."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex}"


def note_loaded(connection: Connection, name: str) -> None:
    """Record, in the transaction of its rows, that a slice is loaded.

    Raise `IntegrityError` if it was loaded before.
    """
    now = datetime.now(UTC).replace(tzinfo=None)
    connection.execute(insert(LOADED_SLICES).values(name=name, loaded_at=now))


def forget_loaded(engine: Engine) -> None:
    """Delete the names of slices that are long gone."""
    before = datetime.now(UTC).replace(tzinfo=None) - _REMEMBERED
    with engine.begin() as connection:
        connection.execute(delete(LOADED_SLICES).where(LOADED_SLICES.c.loaded_at < before))


def is_loaded(engine: Engine, name: str) -> bool:
    """Return whether the rows of a slice are in the database."""
    with engine.connect() as connection:
        query = select(LOADED_SLICES.c.name).where(LOADED_SLICES.c.name == name)
        return connection.execute(query).first() is not None
