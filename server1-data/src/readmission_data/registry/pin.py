"""A pin holds the version that serves until somebody releases it: no training replaces it meanwhile."""

import getpass
import json
import logging
import os
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Final

from mlflow import MlflowClient

from readmission_data.model_version.contract import MODEL_NAME

log = logging.getLogger(__name__)

PIN: Final = "pin"
"""Tag of the registered model: the pin as a JSON object with the fields of `Pin`. No tag, no pin."""


@dataclass(frozen=True, slots=True)
class Pin:
    """Which version is held, by whom, why, and since when (UTC, ISO 8601)."""

    version: str
    by: str
    reason: str
    at: str

    def __str__(self) -> str:
        """Return it as the gate and the errors quote it."""
        return f"version {self.version} is pinned by {self.by}: {self.reason}"


def read(client: MlflowClient) -> Pin | None:
    """Return the pin of the registered model, which must exist."""
    noted = client.get_registered_model(MODEL_NAME).tags.get(PIN)
    return Pin(**json.loads(noted)) if noted else None


def write(client: MlflowClient, version: str, reason: str, by: str | None) -> Pin:
    """Pin a version; a pin of another version is replaced. `by` is the user of this process if not given."""
    made = Pin(
        version=version,
        by=by or _user(),
        reason=reason,
        at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    client.set_registered_model_tag(MODEL_NAME, PIN, json.dumps(asdict(made)))
    log.warning("%s", made)
    return made


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A container may run under a number that no user has.
        return f"uid {os.getuid()}"


def remove(client: MlflowClient) -> None:
    """Remove the pin; the next training's version may replace the one that serves."""
    client.delete_registered_model_tag(MODEL_NAME, PIN)
