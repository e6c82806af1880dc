"""The figures that a run measures; the drill writes them to docs/reliability.md."""

import datetime as dt
import json
import threading
from collections.abc import Callable
from pathlib import Path

MEMORY_EVERY = 10.0


class Figures:
    """Lines by heading, in the order in which they were measured."""

    def __init__(self) -> None:
        self.lines: dict[str, list[tuple[str, str]]] = {}

    def add(self, heading: str, what: str, value: str) -> None:
        """Note one figure."""
        self.lines.setdefault(heading, []).append((what, value))

    def markdown(self) -> str:
        """Return all figures as tables."""
        parts = []
        for heading, lines in self.lines.items():
            rows = [f"| {what} | {value} |" for what, value in lines]
            parts.append("\n".join([f"## {heading}", "", "| What | Measured |", "|---|---|", *rows]))
        return "\n\n".join(parts) + "\n"

    def write(self, path: Path) -> None:
        """Write the figures as JSON, for a look after the run."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"date": dt.datetime.now(dt.UTC).isoformat(), **self.lines}, indent=1))


class Peak:
    """Samples a figure in the background and keeps the largest."""

    def __init__(self, sample: Callable[[], int]) -> None:
        self.largest = 0
        self._sample = sample
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> int:
        """Stop sampling; return the largest value."""
        self._end.set()
        self._thread.join()
        return self.largest

    def _watch(self) -> None:
        while not self._end.wait(MEMORY_EVERY):
            self.largest = max(self.largest, self._sample())
