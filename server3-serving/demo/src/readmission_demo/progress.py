"""The progress of the DAGs while the demo waits for them."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from readmission_demo.airflow import DAGS, Pipeline
from readmission_demo.errors import DemoError

_ENDED: Final = frozenset({"success", "failed"})
"""States of a run that has ended."""
_SHOWN: Final = frozenset({"success", "skipped", "failed", "up_for_retry"})
"""States of a task that get a line."""
_QUIET_LOOKS: Final = 15
"""Between two DAGs no run is active for a moment, so a few idle polls do not mean the end."""


class Progress:
    """The runs of the DAGs that had not ended when this object was made.

    `say` prints one line; `logs` is Airflow's folder of logs.
    """

    def __init__(self, pipeline: Pipeline, say: Callable[[str], None], logs: Path) -> None:
        self.logs = logs
        self._pipeline = pipeline
        self._say = say
        earlier = pipeline.runs()
        self._ended = {_key(run) for run in earlier if run["state"] in _ENDED}
        self.continued = bool(earlier)
        """Whether the DAGs have run before."""
        self._states: dict[tuple[str, str, str], str] = {}
        self._quiet = 0
        self._last = ""

    @property
    def idle(self) -> bool:
        """Whether nothing is running and nothing will follow by itself."""
        return self._quiet >= (1 if self._last == DAGS[-1] else _QUIET_LOOKS)

    def expect(self) -> None:
        """Expect another run: be idle only after some idle polls."""
        self._quiet, self._last = 0, ""

    def look(self) -> list[str]:
        """Print each task that has ended since the last call; return what is running, the oldest first.

        Raise `DemoError` if a run failed.
        """
        running = []
        for run in reversed(self._pipeline.runs()):
            if _key(run) in self._ended:
                continue
            for task in self._pipeline.tasks(run):
                name = f"{run['dag_id']}.{task['task_id']}"
                key, state = (*_key(run), task["task_id"]), str(task["state"])
                if state == "running":
                    running.append(name)
                if state in _SHOWN and state != self._states.get(key):
                    self._say(f"{name}: {state} ({task['duration'] or 0:.0f} s)")
                self._states[key] = state
            if run["state"] in _ENDED:
                self._ended.add(_key(run))
                self._last = run["dag_id"]
            else:
                running.append(run["dag_id"])
            if run["state"] == "failed":
                raise DemoError(f"{run['dag_id']} failed: see {self.logs}")
        self._quiet = 0 if running else self._quiet + 1
        return running


def _key(run: Mapping[str, Any]) -> tuple[str, str]:
    return run["dag_id"], run["dag_run_id"]
