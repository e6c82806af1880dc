"""Kill a command at points drawn over the course of an undisturbed run of it.

A point is counted in changes, not in seconds: each request that changes something in MLflow counts as two
steps, one before it is sent and one after its response. Slow and fast machines are therefore killed at the
same points, and the seed determines what the process was doing there.
"""

import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter

from support.forks import PROCESSES


@dataclass(frozen=True)
class Course:
    """The result of an undisturbed run, and the time of each step in seconds from its start."""

    result: Any
    steps: tuple[float, ...]
    seconds: float


@dataclass(frozen=True)
class Point:
    """The step (from 0, the start) at which a process is killed, or some seconds after it.

    It never reaches the next step, no matter how fast it is.
    """

    step: int
    delay: float | None


def follow(command: Callable[..., object], *arguments: object) -> Course:
    """Run a command in a separate process, undisturbed."""
    near, far = PROCESSES.Pipe(duplex=False)
    process = PROCESSES.Process(target=_followed, args=(far, command, arguments))
    process.start()
    far.close()
    course: Course = near.recv()
    process.join()
    return course


def draw(course: Course, kills: int, seed: int) -> list[Point]:
    """Return points in order, one from each equal part of the run, alternating between time and steps."""
    chance = np.random.default_rng(seed)
    moments = (*course.steps, course.seconds)
    points = []
    for number in range(kills):
        share = (number + chance.random()) / kills
        if number % 2:
            points.append(Point(int(share * len(course.steps)), None))
        else:
            step = max(n for n, at in enumerate(course.steps) if at <= share * course.seconds)
            points.append(Point(step, share * course.seconds - moments[step]))
    assert all(early <= late for early, late in pairwise(moments))
    return points


def killed(point: Point, command: Callable[..., object], *arguments: object) -> bool:
    """Run a command in a process that is killed at a point; return False if it ended before that."""
    near, far = PROCESSES.Pipe(duplex=False)
    process = PROCESSES.Process(target=_victim, args=(far, point, command, arguments))
    process.start()
    far.close()
    try:
        near.recv()
    except EOFError:
        process.join()
        assert process.exitcode == 0, f"the command failed before {point}"
        return False
    time.sleep(point.delay or 0)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    return True


def _followed(far: Any, command: Callable[..., object], arguments: tuple[object, ...]) -> None:
    began = time.monotonic()
    steps = [0.0]
    _at_each_step(lambda: steps.append(time.monotonic() - began))
    result = command(*arguments)
    far.send(Course(result, tuple(steps), time.monotonic() - began))


def _victim(far: Any, point: Point, command: Callable[..., object], arguments: tuple[object, ...]) -> None:
    last = point.step if point.delay is None else point.step + 1
    step = -1

    def reach() -> None:
        nonlocal step
        step += 1
        if step == point.step:
            far.send(step)
        if step == last:
            _wait_for_death()

    reach()
    _at_each_step(reach)
    command(*arguments)
    if step >= point.step:
        _wait_for_death()


def _wait_for_death() -> None:
    # All threads stand still; nothing but SIGKILL follows.
    os.kill(os.getpid(), signal.SIGSTOP)


def _at_each_step(reach: Callable[[], None]) -> None:
    send, lock = HTTPAdapter.send, threading.Lock()

    def count() -> None:
        with lock:
            reach()

    def watched(adapter: HTTPAdapter, request: PreparedRequest, **named: Any) -> Response:
        reads = request.method == "GET" or (request.url or "").endswith("/search")
        if reads:
            return send(adapter, request, **named)
        count()
        response = send(adapter, request, **named)
        count()
        return response

    HTTPAdapter.send = watched  # type: ignore[method-assign]
