"""Decide whether an alert starts a training."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from readmission_retrain.airflow import Dag
from readmission_retrain.alerts import Alert
from readmission_retrain.errors import DagPausedError
from readmission_retrain.state import Run, State

Result = Literal["started", "cooldown", "running"]


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of a delivery: a word for the metrics and a sentence for people."""

    result: Result
    message: str


class Starter:
    """Starts at most one run per cool-down, and none while one is queued or running.

    `now` returns the time in UTC.
    """

    def __init__(self, state: State, dag: Dag, cooldown: timedelta, now: Callable[[], datetime]) -> None:
        self._state = state
        self._dag = dag
        self._cooldown = cooldown
        self._now = now

    def last(self) -> Run | None:
        """Return the last run that Airflow has confirmed. Raise `StateError` if it cannot be read."""
        run = self._state.read()
        return run if run and run.known else None

    def consider(self, alerts: Sequence[Alert]) -> Answer:
        """Start a run because of `alerts`, or return why not. Raise `RetrainError` if that fails. Blocks."""
        with self._state.locked():
            last = self._settled(self._state.read())
            now = self._now()
            # A start in the future was recorded with a wrong clock and must not block anything.
            if last and last.known and timedelta(0) <= now - last.asked < self._cooldown:
                until = (last.asked + self._cooldown).isoformat(timespec="seconds")
                return Answer("cooldown", f"run {last.run_id} was started; the next one not before {until}")
            if self._dag.paused():
                raise DagPausedError("the DAG is paused in Airflow: unpause it, or silence the alert")
            if self._dag.unfinished_runs():
                return Answer("running", "a run of the DAG is queued or running already")
            run = Run(
                # The name stays the same for all attempts, so that two attempts cannot start two runs.
                run_id=last.run_id if last and not last.known else f"alert__{now:%Y-%m-%dT%H:%M:%S.%f}",
                asked=now,
                reasons=tuple(sorted({alert.words for alert in alerts})),
                known=False,
            )
            self._state.write(run)
            self._dag.start(run.run_id, f"Started by {', '.join(run.reasons)}.", _conf(alerts))
            self._state.write(replace(run, known=True))
            return Answer("started", f"run {run.run_id} was started because of {', '.join(run.reasons)}")

    def _settled(self, last: Run | None) -> Run | None:
        """Find out whether Airflow started a run although it did not respond."""
        if last is None or last.known or not self._dag.has_run(last.run_id):
            return last
        found = replace(last, known=True)
        self._state.write(found)
        return found


def _conf(alerts: Sequence[Alert]) -> dict[str, Any]:
    """Return the configuration of the run: names of alerts and fields, never patients' values."""
    return {
        "alerts": [
            {
                "alertname": alert.labels.get("alertname", ""),
                **({"field": alert.labels["field"]} if "field" in alert.labels else {}),
                "since": alert.starts_at.isoformat(),
            }
            for alert in alerts
        ]
    }
