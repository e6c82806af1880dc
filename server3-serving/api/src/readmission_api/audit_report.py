"""`python -m readmission_api.audit_report`: who asked about a patient, or what a client did.

Reads the audit trail and the prediction log with the rights of an auditor: READMISSION_AUDIT_URL and
READMISSION_AUDIT_PREDICTION_LOG_URL. Without a password in an address it asks for one.
"""

import argparse
import getpass
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import Engine, make_url, select
from sqlalchemy.exc import SQLAlchemyError

from readmission_api.audit import ACCESSES
from readmission_api.prediction_log.tables import PREDICTIONS, connect

_IDS_AT_ONCE = 500


class AuditSettings(BaseSettings):
    """The settings of the report, with the prefix `READMISSION_AUDIT_`."""

    model_config = SettingsConfigDict(env_prefix="READMISSION_AUDIT_", frozen=True, hide_input_in_errors=True)

    url: SecretStr = Field(description="SQLAlchemy URL of the audit trail")
    prediction_log_url: SecretStr = Field(description="SQLAlchemy URL of the prediction log")


def main() -> int:
    """Print the lines; return the exit status."""
    parser = argparse.ArgumentParser(prog="readmission_api.audit_report", description=__doc__)
    wanted = parser.add_mutually_exclusive_group(required=True)
    wanted.add_argument("--patient", type=Path, metavar="FILE", help="fields of the patient, a JSON object")
    wanted.add_argument("--client", metavar="NAME", help="what this client did")
    arguments = parser.parse_args()
    try:
        settings = AuditSettings()  # type: ignore[call-arg]
        password: list[str] = []
        trail = _connect(settings.url, password)
        if arguments.client is not None:
            lines = _of_client(trail, arguments.client)
        else:
            patient = msgspec.json.decode(arguments.patient.read_bytes(), type=dict[str, Any])
            ids = set(requests_about(_connect(settings.prediction_log_url, password), patient))
            lines = of_requests(trail, sorted(ids))
        for line in lines:
            sys.stdout.write("\t".join("-" if value is None else str(value) for value in line) + "\n")
    except (ValidationError, SQLAlchemyError, OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        # Only its name: a message may repeat an address with its password, or a patient.
        sys.stderr.write(
            f"error: {type(error).__name__}: check READMISSION_AUDIT_URL, "
            "READMISSION_AUDIT_PREDICTION_LOG_URL and the file of the patient\n"
        )
        return 1
    return 0


def requests_about(engine: Engine, patient: dict[str, Any]) -> Iterator[str]:
    """Yield the ids of the requests whose patient has all these fields with these values."""
    wanted = {name: str(value) for name, value in patient.items()}
    query = select(PREDICTIONS.c.request_id, PREDICTIONS.c.inputs).execution_options(yield_per=1_000)
    with engine.connect() as connection:
        for request_id, inputs in connection.execute(query):
            known = msgspec.json.decode(inputs)
            if all(str(known.get(name)) == value for name, value in wanted.items()):
                yield request_id


def of_requests(engine: Engine, ids: list[str]) -> Iterator[tuple[Any, ...]]:
    """Yield the lines of these requests: time (UTC), client, address, action, status, request."""
    for start in range(0, len(ids), _IDS_AT_ONCE):
        condition = ACCESSES.c.request_id.in_(ids[start : start + _IDS_AT_ONCE])
        with engine.connect() as connection:
            for row in connection.execute(_LINES.where(condition).order_by(ACCESSES.c.id)):
                yield tuple(row)


def _of_client(engine: Engine, name: str) -> Iterator[tuple[Any, ...]]:
    with engine.connect() as connection:
        query = _LINES.where(ACCESSES.c.client == name).order_by(ACCESSES.c.id)
        for row in connection.execute(query.execution_options(yield_per=1_000)):
            yield tuple(row)


_LINES = select(
    ACCESSES.c.at,
    ACCESSES.c.client,
    ACCESSES.c.address,
    ACCESSES.c.action,
    ACCESSES.c.status,
    ACCESSES.c.request_id,
)


def _connect(url: SecretStr, password: list[str]) -> Engine:
    parts = make_url(url.get_secret_value())
    if parts.username and parts.password is None:
        password[:] = password or [getpass.getpass(f"Password of {parts.username}: ")]
        parts = parts.set(password=password[0])
    return connect(parts.render_as_string(hide_password=False))


if __name__ == "__main__":
    sys.exit(main())
