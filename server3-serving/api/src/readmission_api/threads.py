"""Threads for work that blocks: an executor per kind of work, so that no kind waits for another's threads."""

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar, TypeVarTuple

_Result = TypeVar("_Result")
_Arguments = TypeVarTuple("_Arguments")


class Threads:
    """The executors. Each starts its threads when it first needs them."""

    def __init__(self, *, batches: int, explanations: int) -> None:
        self.batches = ThreadPoolExecutor(batches, "batches")
        self.explanations = ThreadPoolExecutor(explanations, "explanations")
        self.outcomes = ThreadPoolExecutor(2, "outcomes")
        self.registry = ThreadPoolExecutor(1, "registry")
        self.metrics = ThreadPoolExecutor(1, "metrics")
        self.background = ThreadPoolExecutor(1, "background")

    def stop(self) -> None:
        """End the idle threads; work that has not begun is dropped."""
        for executor in vars(self).values():
            executor.shutdown(wait=False, cancel_futures=True)


async def run(
    executor: ThreadPoolExecutor, work: Callable[[*_Arguments], _Result], *arguments: *_Arguments
) -> _Result:
    """Run work in a thread, in the caller's context, and return its result."""
    context = contextvars.copy_context()
    call: partial[_Result] = partial(context.run, work, *arguments)
    return await asyncio.get_running_loop().run_in_executor(executor, call)
