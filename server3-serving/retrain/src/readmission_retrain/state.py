"""The record of the last run on disk, which survives restarts and is shared between processes."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from readmission_retrain.errors import StateError


@dataclass(frozen=True, slots=True)
class Run:
    """A requested run: its name in Airflow, its time (UTC) and its reason.

    `known` is true if Airflow has confirmed it. A run is recorded before Airflow is asked for it, so that the
    next delivery after a crash can find out whether it was started.
    """

    run_id: str
    asked: datetime
    reasons: tuple[str, ...]
    known: bool


class State:
    """The file of the last run."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Exclude all other threads and processes until the block ends. Raise `StateError` if that fails.

        The kernel releases the lock when the process dies for any reason.
        """
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            lock = self._path.with_name(f"{self._path.name}.lock").open("ab")
        except OSError as error:
            raise StateError(f"{self._path.parent} cannot be written: {error.strerror}") from error
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def read(self) -> Run | None:
        """Return the last run, or None. Raise `StateError` if it cannot be read."""
        try:
            found = json.loads(self._path.read_bytes())
            return Run(
                run_id=str(found["run_id"]),
                asked=datetime.fromisoformat(found["asked"]),
                reasons=tuple(map(str, found["reasons"])),
                known=bool(found["known"]),
            )
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StateError(f"{self._path} cannot be read: {error.strerror}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise StateError(
                f"{self._path} has no valid run; move it away and check Airflow's runs"
            ) from error

    def write(self, run: Run) -> None:
        """Replace the recorded run with `run` atomically. Raise `StateError` if that fails."""
        part = self._path.with_name(f"{self._path.name}.part")
        try:
            with part.open("w", encoding="utf-8") as file:
                json.dump(asdict(run) | {"asked": run.asked.isoformat()}, file)
                file.flush()
                os.fsync(file.fileno())
            part.replace(self._path)
        except OSError as error:
            raise StateError(f"{self._path} cannot be written: {error.strerror}") from error
