"""A complete load in a separate process, for tests that kill it."""

import os
import signal

import sqlalchemy as sa

from readmission_data.raw.load import load_all
from readmission_data.settings import DataSettings


def load(settings: DataSettings, die_at: int | None = None) -> None:
    """Load everything; with `die_at`, this process dies in the middle of that statement, counted from 1."""
    if die_at is not None:
        left = iter(range(die_at, 0, -1))

        @sa.event.listens_for(sa.Engine, "before_cursor_execute")
        @sa.event.listens_for(sa.Engine, "commit")
        def count(*_given: object) -> None:
            if next(left) == 1:
                os.kill(os.getpid(), signal.SIGKILL)

    for _ in load_all(settings):
        pass
