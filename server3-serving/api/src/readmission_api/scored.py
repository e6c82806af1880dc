"""Scored patients, and the queue that passes them to a background thread."""

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from readmission_api.predictor.patients import Row
from readmission_api.predictor.predictor import Predictor


@dataclass(frozen=True, slots=True)
class Scored:
    """Patients that one call of the graph scored, at a Unix time.

    `numbers` are their places in their requests.
    """

    predictor: Predictor
    request_ids: Sequence[str]
    numbers: Sequence[int]
    rows: Sequence[Row]
    risks: Sequence[float]
    at: float

    def part(self, first: int, end: int | None) -> "Scored":
        """Return some of them, by their places here."""
        return Scored(
            self.predictor,
            self.request_ids[first:end],
            self.numbers[first:end],
            self.rows[first:end],
            self.risks[first:end],
            self.at,
        )


class ScoredQueue:
    """Holds scored patients up to a number of rows. Neither end waits for the other."""

    def __init__(self, max_rows: int) -> None:
        self._max_rows = max_rows
        self._entries: deque[Scored] = deque()
        self._rows = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Return the number of rows in the queue."""
        return self._rows

    def offer(self, scored: Scored) -> int:
        """Add as many of the patients as fit, and return their number."""
        with self._lock:
            count = min(len(scored.rows), self._max_rows - self._rows)
            if count:
                self._entries.append(scored if count == len(scored.rows) else scored.part(0, count))
                self._rows += count
        return count

    def take(self, max_rows: int) -> list[Scored]:
        """Remove and return up to `max_rows` rows, oldest first."""
        taken: list[Scored] = []
        count = 0
        with self._lock:
            while self._entries and count < max_rows:
                entry = self._entries.popleft()
                room = max_rows - count
                if len(entry.rows) > room:
                    self._entries.appendleft(entry.part(room, None))
                    entry = entry.part(0, room)
                count += len(entry.rows)
                taken.append(entry)
            self._rows -= count
        return taken

    def clear(self) -> int:
        """Drop everything and return the number of rows dropped."""
        with self._lock:
            dropped, self._rows = self._rows, 0
            self._entries.clear()
        return dropped
