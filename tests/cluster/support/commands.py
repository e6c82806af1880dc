"""Run programs, and report their own messages if they fail."""

import subprocess
import time
from collections.abc import Callable
from typing import Any


class LabError(Exception):
    """Something of the lab failed; the message is what the failed program printed."""


def run(*command: object, check: bool = True, **options: Any) -> str:
    """Run a program and return its standard output. Raise LabError if it fails and `check` is true."""
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, check=False, **options)
    if check and done.returncode:
        shown = " ".join(words)
        raise LabError(f"{shown[:400]}: exit {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    return done.stdout.strip()


def wait_for(condition: Callable[[], Any], what: str, seconds: float, every: float = 1.0) -> Any:
    """Return the condition's first true value. Raise LabError if there is none within `seconds`."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise LabError(f"{what}: not within {seconds:.0f} s")
        time.sleep(every)
    return value
