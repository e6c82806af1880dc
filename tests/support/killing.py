"""Run a function in a separate process that is killed halfway."""

import os
import signal
from collections.abc import Callable
from multiprocessing.process import BaseProcess

import sqlalchemy as sa

from support.forks import PROCESSES

_EVENTS = ("before_cursor_execute", "commit")


def start(function: Callable[..., object], *arguments: object) -> BaseProcess:
    """Start `function` in a separate process; the caller may kill it at any time."""
    process = PROCESSES.Process(target=function, args=arguments)
    process.start()
    return process


def start_and_die(statement: int, function: Callable[..., object], *arguments: object) -> BaseProcess:
    """Start `function` in a process that dies at a statement or commit, counted from 1."""
    return start(_die_at, statement, function, *arguments)


def _die_at(statement: int, function: Callable[..., object], *arguments: object) -> None:
    left = iter(range(statement, 0, -1))

    def count(*_given: object) -> None:
        if next(left) == 1:
            os.kill(os.getpid(), signal.SIGKILL)

    for event in _EVENTS:
        sa.event.listen(sa.Engine, event, count)
    function(*arguments)


def count_statements(function: Callable[..., object], *arguments: object) -> int:
    """Run `function` here and return how many statements and commits it takes."""
    counted = 0

    def count(*_given: object) -> None:
        nonlocal counted
        counted += 1

    for event in _EVENTS:
        sa.event.listen(sa.Engine, event, count)
    try:
        function(*arguments)
    finally:
        for event in _EVENTS:
            sa.event.remove(sa.Engine, event, count)
    return counted
