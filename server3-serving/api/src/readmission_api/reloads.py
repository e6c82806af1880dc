"""Shared checks of the alias: however many requests, one check runs and at most one follows it."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from readmission_api.model_store.store import Reload
from readmission_api.threads import run


class Reloads:
    """Checks the alias for all requests.

    A request gets the result of a check that began after the request, so it never misses a change. If the
    registry does not respond, it waits for at most two checks.
    """

    def __init__(self, refresh: Callable[[bool], Reload], executor: ThreadPoolExecutor) -> None:
        self._refresh = refresh
        self._executor = executor
        self._running: asyncio.Task[Reload] | None = None
        self._next: asyncio.Task[Reload] | None = None
        self._force = False

    async def look(self, *, force: bool = False) -> Reload:
        """Return the result of the next check. `force` retries a version that was refused."""
        self._force |= force
        if self._next is None:
            self._next = asyncio.create_task(self._look_after(self._running))
        # A client that disconnects must not cancel the check for the others.
        return await asyncio.shield(self._next)

    async def _look_after(self, running: asyncio.Task[Reload] | None) -> Reload:
        if running is not None:
            await asyncio.wait({running})
        self._running, self._next = self._next, None
        force, self._force = self._force, False
        return await run(self._executor, self._refresh, force)
