"""Moves the aliases that tell which version serves.

production serves; previous is what it replaced, to roll back to; challenger is the last version that the gate
did not let through, to be watched in shadow. MLflow moves one alias at a time, so the order matters: whenever
a process is killed, production points at a whole version, and the next command ends what was begun.
"""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from readmission_data.errors import RegistryError
from readmission_data.model_version.contract import MODEL_NAME
from readmission_data.registry import versions
from readmission_data.settings import DataSettings

log = logging.getLogger(__name__)

ROLLBACK_REASON: Final = "rollback_reason"
"""Tag of both versions of a rollback: what it was."""

_ROLLBACK: Final = "rollback_under_way"


class Alias(StrEnum):
    """What a version is to serving."""

    PRODUCTION = "production"
    CHALLENGER = "challenger"
    PREVIOUS = "previous"


@dataclass(frozen=True, slots=True)
class Rollback:
    """The versions that are now production and previous, and why."""

    production: str
    previous: str
    reason: str


def current(client: MlflowClient) -> dict[str, str]:
    """Return the version behind each alias; empty where no model is registered."""
    try:
        aliases = client.get_registered_model(MODEL_NAME).aliases
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return {}
        raise RegistryError(f"the model registry cannot be read: {error.error_code}") from error
    return {str(alias): str(version) for alias, version in aliases.items()}


def promote(client: MlflowClient, version: str) -> None:
    """Make a version production; the one it replaces becomes previous, and an older challenger is dropped."""
    finish_rollback(client)
    now = current(client)
    replaced = now.get(Alias.PRODUCTION)
    if replaced != version:
        if replaced:
            # First: once production has moved, nothing else remembers what it was.
            client.set_registered_model_alias(MODEL_NAME, Alias.PREVIOUS, replaced)
        client.set_registered_model_alias(MODEL_NAME, Alias.PRODUCTION, version)
    if Alias.CHALLENGER in now:
        client.delete_registered_model_alias(MODEL_NAME, Alias.CHALLENGER)


def challenge(client: MlflowClient, version: str) -> None:
    """Make a version challenger."""
    finish_rollback(client)
    client.set_registered_model_alias(MODEL_NAME, Alias.CHALLENGER, version)


def rollback(settings: DataSettings) -> Rollback:
    """Let previous serve again: production and previous change places.

    A rollback that was killed half way is ended, not turned back. Raises RegistryError where there is nothing
    to go back to or its files are not whole.
    """
    client = versions.connect(settings)
    ended = finish_rollback(client)
    if ended:
        return ended
    now = current(client)
    production, previous = now.get(Alias.PRODUCTION), now.get(Alias.PREVIOUS)
    if production is None or previous is None or production == previous:
        raise RegistryError(f"nothing to roll back to: {MODEL_NAME} has no other version as previous")
    versions.load(client, previous)
    client.set_registered_model_tag(MODEL_NAME, _ROLLBACK, f"{production} {previous}")
    done = finish_rollback(client)
    if done is None:
        raise RegistryError("another process rolled back at the same time: look at the aliases and try again")
    return done


def finish_rollback(client: MlflowClient) -> Rollback | None:
    """End the rollback that is written down in the registry; None where there is none."""
    if not current(client):
        return None
    noted = client.get_registered_model(MODEL_NAME).tags.get(_ROLLBACK)
    if not noted:
        return None
    leaves, returns = noted.split()
    reason = f"rolled back from version {leaves} to {returns} at {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
    client.set_registered_model_alias(MODEL_NAME, Alias.PRODUCTION, returns)
    client.set_registered_model_alias(MODEL_NAME, Alias.PREVIOUS, leaves)
    for version in (returns, leaves):
        client.set_model_version_tag(MODEL_NAME, version, ROLLBACK_REASON, reason)
    client.delete_registered_model_tag(MODEL_NAME, _ROLLBACK)
    log.warning("production is version %s: %s", returns, reason)
    return Rollback(production=returns, previous=leaves, reason=reason)
