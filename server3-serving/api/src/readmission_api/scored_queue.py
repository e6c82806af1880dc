"""A queue between requests and a thread that works for none of them."""

import threading
from collections import deque

from readmission_api.scoring import Scored


class ScoredQueue:
    """Holds scored patients up to a number of rows. Neither end ever waits for the other."""

    def __init__(self, max_rows: int) -> None:
        self._max_rows = max_rows
        self._entries: deque[Scored] = deque()
        self._rows = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Rows that wait."""
        return self._rows

    def offer(self, scored: Scored) -> int:
        """Put in as many of the patients as there is room for; return how many those were."""
        with self._lock:
            count = min(len(scored.rows), self._max_rows - self._rows)
            if count:
                self._entries.append(scored if count == len(scored.rows) else scored.part(0, count))
                self._rows += count
        return count

    def take(self, max_rows: int) -> list[Scored]:
        """Take out up to so many rows, oldest first."""
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
        """Drop everything and return how many rows that was."""
        with self._lock:
            dropped, self._rows = self._rows, 0
            self._entries.clear()
        return dropped
