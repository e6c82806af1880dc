"""The parts that the routes use, built once by the app factory."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from readmission_api.errors import OverloadedError
from readmission_api.metrics.instruments import Instruments
from readmission_api.model_store.disk_copy import DiskCopy
from readmission_api.model_store.store import ModelStore, Serving
from readmission_api.observers import Observers
from readmission_api.routes import answers
from readmission_api.routes.bodies import Bodies
from readmission_api.scoring import Scoring
from readmission_api.settings import ApiSettings


class Admission:
    """Room for so many long requests at once, and a queue for so many more."""

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
        """Raise `OverloadedError` if the queue is full now, before a body is read for nothing."""
        if self._room.locked() and self._waiting <= 0:
            raise OverloadedError

    def release(self) -> None:
        """Give the room back."""
        self._room.release()

    @asynccontextmanager
    async def enter(self) -> AsyncIterator[None]:
        """Hold room for a block; raise as `acquire` does."""
        await self.acquire()
        try:
            yield
        finally:
            self.release()


@dataclass
class Parts:
    """The pieces of one app."""

    settings: ApiSettings
    instruments: Instruments
    store: ModelStore
    disk: DiskCopy
    scoring: Scoring
    admission: Admission
    bodies: Bodies
    observers: Observers

    def serving(self) -> Serving:
        """Return what serves now; raise `RefusedError` if nothing does."""
        serving = self.store.serving
        if serving is None:
            raise answers.no_model(self.reason())
        return serving

    def reason(self) -> str:
        """Return why nothing serves."""
        last = self.store.last
        return (last.error if last else None) or "the first one is being loaded"
