"""What is remembered of the last run, on disk, so that neither a restart nor a second process forgets it."""

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
    """A run that was asked for: its name in Airflow, when (UTC), and why.

    `known` tells that Airflow has said that it has it. A run is written down before Airflow is asked, so that
    whoever comes after a crash can find out what became of it.
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
        """Keep every other thread and process out until the block ends; raises `StateError`.

        The kernel lets go of the lock when its process dies, however it dies.
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
        """Return the last run, None where there was none; raises `StateError`."""
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
            raise StateError(f"{self._path} holds no run; move it away and look at Airflow's runs") from error

    def write(self, run: Run) -> None:
        """Remember `run` in place of the one before, whole or not at all; raises `StateError`."""
        part = self._path.with_name(f"{self._path.name}.part")
        try:
            with part.open("w", encoding="utf-8") as file:
                json.dump(asdict(run) | {"asked": run.asked.isoformat()}, file)
                file.flush()
                os.fsync(file.fileno())
            part.replace(self._path)
        except OSError as error:
            raise StateError(f"{self._path} cannot be written: {error.strerror}") from error
