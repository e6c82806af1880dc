"""Run a command in a process that dies before one of its changes in MLflow."""

import os
from collections.abc import Callable
from typing import Any

from mlflow import MlflowClient

from support.forks import PROCESSES

CHANGES = (
    "create_logged_model",
    "log_model_artifacts",
    "finalize_logged_model",
    "delete_logged_model",
    "create_registered_model",
    "create_model_version",
    "set_model_version_tag",
    "delete_model_version_tag",
    "set_registered_model_tag",
    "delete_registered_model_tag",
    "set_registered_model_alias",
    "delete_registered_model_alias",
)
"""The methods of MLflow's client that change anything."""

DIED = 9


def _die_before(step: int, changes: tuple[str, ...]) -> None:
    done = 0

    def dying(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            nonlocal done
            done += 1
            if done == step:
                # As kill -9 does: no handler runs, nothing is flushed or rolled back by us.
                os._exit(DIED)
            return method(*arguments, **named)

        return call

    for name in changes:
        setattr(MlflowClient, name, dying(getattr(MlflowClient, name)))


def _victim(
    step: int, changes: tuple[str, ...], command: Callable[..., object], arguments: tuple[object, ...]
) -> None:
    _die_before(step, changes)
    command(*arguments)


def died(
    step: int, command: Callable[..., object], *arguments: object, changes: tuple[str, ...] = CHANGES
) -> bool:
    """Run a command and return whether it died before the n-th of these changes.

    Return False if it made fewer changes and succeeded.
    """
    process = PROCESSES.Process(target=_victim, args=(step, changes, command, arguments))
    process.start()
    process.join(timeout=300)
    if process.exitcode not in (0, DIED):
        process.kill()
        raise AssertionError(f"the command failed with exit code {process.exitcode} at step {step}")
    return process.exitcode == DIED
