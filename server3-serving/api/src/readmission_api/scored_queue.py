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

    def offer(self, scored: Scored) -> bool:
        """Put patients in; False where there is no room for them."""
        count = len(scored.rows)
        with self._lock:
            if self._rows + count > self._max_rows:
                return False
            self._entries.append(scored)
            self._rows += count
        return True

    def take(self, max_rows: int) -> list[Scored]:
        """Take out up to so many rows, oldest first; one entry always, however long it is."""
        taken: list[Scored] = []
        count = 0
        with self._lock:
            while self._entries and (not taken or count + len(self._entries[0].rows) <= max_rows):
                entry = self._entries.popleft()
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
