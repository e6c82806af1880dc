"""One training at a time, no matter who starts it on which host.

A second training would mistake the running one for a killed one and close its runs, and a second registration
would delete the files that the first one has not registered yet.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Final

import sqlalchemy as sa
from pydantic import SecretStr
from sqlalchemy.exc import OperationalError

from readmission_data import databases
from readmission_data.errors import TrainingUnderWayError
from readmission_data.settings import DataSettings

SECTION: Final = "training"


@contextmanager
def one_training(settings: DataSettings) -> Iterator[None]:
    """Hold the lock of CleanData's trainings. It ends with the process, for any reason.

    On MySQL it is a named lock of the server. On SQLite, which one host alone uses, it is a transaction in a
    small database next to CleanData's: CleanData itself stays free for readers and writers. Raise
    TrainingUnderWayError, or on MySQL DatabaseError, if the other one takes longer than
    `databases.LOCK_SECONDS`.
    """
    with (
        databases.engine(_lock_url(settings.clean_url)) as engine,
        databases.exclusive(engine, SECTION) as connection,
        _begun(connection) if engine.dialect.name == "sqlite" else nullcontext(),
    ):
        yield


@contextmanager
def _begun(connection: sa.Connection) -> Iterator[None]:
    try:
        transaction = connection.begin()
    except OperationalError as error:
        raise TrainingUnderWayError(
            f"another training or registration has been running for {databases.LOCK_SECONDS} s: "
            "wait for it, or end it"
        ) from error
    with transaction:
        yield


def _lock_url(clean_url: SecretStr) -> SecretStr:
    parsed = sa.make_url(clean_url.get_secret_value())
    if not parsed.drivername.startswith("sqlite"):
        return clean_url
    return SecretStr(f"{parsed.drivername}:///{parsed.database}.training-lock")
