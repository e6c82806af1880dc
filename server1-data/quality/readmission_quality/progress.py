"""Tells on standard error what is being computed, and since when."""

import sys
import time


class Progress:
    """Counts the seconds from its start."""

    def __init__(self) -> None:
        """Start the clock."""
        self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

    def say(self, what: str) -> None:
        """Print one line."""
        print(f"{self.seconds:6.0f} s  {what}", file=sys.stderr, flush=True)  # noqa: T201 - a command's output
