"""The parts that the routes use, built once by the app factory."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from readmission_api.audit import AuditTrail
from readmission_api.clients import Clients
from readmission_api.errors import OverloadedError
from readmission_api.metrics.instruments import Instruments
from readmission_api.model_store.disk_copy import DiskCopy
from readmission_api.model_store.store import ModelStore, Serving
from readmission_api.observers import Observers
from readmission_api.reloads import Reloads
from readmission_api.routes import answers
from readmission_api.routes.bodies import Bodies
from readmission_api.scoring import Scoring
from readmission_api.settings import ApiSettings
from readmission_api.threads import Threads


class Admission:
    """A limit on long requests at once, with a queue of limited length."""

    def __init__(self, running: int, waiting: int) -> None:
        self._room = asyncio.Semaphore(running)
        self._waiting = waiting

    async def acquire(self) -> None:
        """Wait for room, given back by `release`; raise `OverloadedError` if the queue is full."""
        if not self._room.locked():
            await self._room.acquire()
            return
        self.check()
        self._waiting -= 1
        try:
            await self._room.acquire()
        finally:
            self._waiting += 1

    def check(self) -> None:
        """Raise `OverloadedError` if the queue is full, so that no body is read unnecessarily."""
        if self._room.locked() and self._waiting <= 0:
            raise OverloadedError

    def release(self) -> None:
        """Release the room."""
        self._room.release()

    @asynccontextmanager
    async def enter(self) -> AsyncIterator[None]:
        """Hold room for a block; raise as `acquire` does."""
        await self.acquire()
        try:
            yield
        finally:
            self.release()


class UploadSpace:
    """Disk space for uploads, reserved before they are read."""

    def __init__(self, size: int) -> None:
        self._left = size

    @contextmanager
    def reserve(self, size: int) -> Iterator[None]:
        """Hold `size` bytes for a block; raise `OverloadedError` if they are not free."""
        if size > self._left:
            raise OverloadedError
        self._left -= size
        try:
            yield
        finally:
            self._left += size


@dataclass
class Parts:
    """The parts of one app."""

    settings: ApiSettings
    instruments: Instruments
    store: ModelStore
    disk: DiskCopy
    scoring: Scoring
    admission: Admission
    explaining: Admission
    uploads: UploadSpace
    bodies: Bodies
    observers: Observers
    threads: Threads
    reloads: Reloads
    clients: Clients
    audit: AuditTrail

    def serving(self) -> Serving:
        """Return the serving version. Raise `RefusedError` if nothing serves."""
        serving = self.store.serving
        if serving is None:
            raise answers.no_model(self.reason())
        return serving

    def reason(self) -> str:
        """Return why nothing serves."""
        last = self.store.last
        return (last.error if last else None) or "the first one is being loaded"
