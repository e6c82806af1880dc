"""Move the aliases, which determine the version that serves.

production serves; previous is the version that it replaced, the target of a rollback; challenger is the last
version that the gate refused, which is scored in the shadow. MLflow moves one alias at a time, so the order
matters: whenever a process is killed, production points to a complete version, and the next command finishes.
"""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from readmission_data.errors import PinnedError, RegistryError
from readmission_data.model_version.contract import MODEL_NAME
from readmission_data.registry import pin, versions
from readmission_data.settings import DataSettings
from readmission_data.tracking import connect, named_errors

log = logging.getLogger(__name__)

ROLLBACK_REASON: Final = "rollback_reason"
"""Tag of both versions of a rollback: what it was."""

ROLLED_BACK: Final = "rolled_back"
"""Tag of a version that a rollback took out of service."""

_ROLLBACK: Final = "rollback_under_way"


class Alias(StrEnum):
    """The role of a version in serving."""

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
    """Return the version behind each alias; empty if no model is registered."""
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
            # First, because after production has moved, nothing else records the earlier version.
            client.set_registered_model_alias(MODEL_NAME, Alias.PREVIOUS, replaced)
        client.set_registered_model_alias(MODEL_NAME, Alias.PRODUCTION, version)
    if Alias.CHALLENGER in now:
        client.delete_registered_model_alias(MODEL_NAME, Alias.CHALLENGER)


def challenge(client: MlflowClient, version: str) -> None:
    """Make a version challenger."""
    finish_rollback(client)
    client.set_registered_model_alias(MODEL_NAME, Alias.CHALLENGER, version)


def rollback(
    settings: DataSettings, *, to: str | None = None, reason: str | None = None, by: str | None = None
) -> Rollback:
    """Let another version serve and pin it: `to`, or by default the previous one.

    The version that it replaces becomes previous. The pin lasts until `release`, so that no training undoes
    the rollback. A rollback that was killed halfway is finished, not reverted. Raise PinnedError if a pin
    holds production, and RegistryError if there is no such version, its files are not complete, or the
    previous version was itself rolled back and `to` does not name it.
    """
    client = connect(settings)
    with named_errors():
        finished = finish_rollback(client)
        if finished:
            return finished
        now = current(client)
        production = now.get(Alias.PRODUCTION)
        target = to or now.get(Alias.PREVIOUS)
        if production is None or target is None or production == target:
            raise RegistryError(
                f"nothing to roll back to: {MODEL_NAME} serves version {production or 'none'}"
            )
        held = pin.read(client)
        if held and held.version == production:
            raise PinnedError(f"{held}. Release it before you roll back")
        versions.load(client, target)
        if to is None and ROLLED_BACK in client.get_model_version(MODEL_NAME, target).tags:
            raise RegistryError(
                f"version {target} was rolled back before: to serve it again, name it with --to {target}"
            )
        # The pin first: if the process is killed here, no gate moves an alias, and the same command
        # continues.
        pin.write(client, target, reason or f"rolled back from version {production}", by)
        client.set_registered_model_tag(MODEL_NAME, _ROLLBACK, f"{production} {target}")
        done = finish_rollback(client)
    if done is None:
        raise RegistryError("another process rolled back at the same time: check the aliases and try again")
    return done


def hold(settings: DataSettings, *, reason: str, by: str | None = None) -> pin.Pin:
    """Pin the version that serves. Raise RegistryError if none does."""
    client = connect(settings)
    with named_errors():
        finish_rollback(client)
        production = current(client).get(Alias.PRODUCTION)
        if production is None:
            raise RegistryError(f"nothing to pin: no version of {MODEL_NAME} serves")
        return pin.write(client, production, reason, by)


def release(settings: DataSettings) -> pin.Pin:
    """Remove the pin and return it. Raise RegistryError if there is none."""
    client = connect(settings)
    with named_errors():
        held = pin.read(client) if current(client) else None
        if held is None:
            raise RegistryError(f"nothing to release: no version of {MODEL_NAME} is pinned")
        pin.remove(client)
    log.warning("released: %s", held)
    return held


def finish_rollback(client: MlflowClient) -> Rollback | None:
    """Finish the rollback that is recorded in the registry; return None if there is none."""
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
    client.set_model_version_tag(MODEL_NAME, leaves, ROLLED_BACK, "true")
    if ROLLED_BACK in client.get_model_version(MODEL_NAME, returns).tags:
        client.delete_model_version_tag(MODEL_NAME, returns, ROLLED_BACK)
    client.delete_registered_model_tag(MODEL_NAME, _ROLLBACK)
    log.warning("production is version %s: %s", returns, reason)
    return Rollback(production=returns, previous=leaves, reason=reason)
