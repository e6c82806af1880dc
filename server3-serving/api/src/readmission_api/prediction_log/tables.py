"""The tables: predictions, and outcomes with their history."""

import threading
from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Double,
    Engine,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    create_engine,
    event,
    make_url,
)
from sqlalchemy.dialects.mysql import DATETIME
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

METADATA = MetaData()

_NUMBER = BigInteger().with_variant(Integer, "sqlite")
_MOMENT = DateTime().with_variant(DATETIME(fsp=6), "mysql", "mariadb")

PREDICTIONS = Table(
    "predictions",
    METADATA,
    Column("id", _NUMBER, primary_key=True, autoincrement=True),
    Column("request_id", String(64), nullable=False),
    # Place in the request: 0 for a single patient, the index in a list, the line in a file.
    Column("number", Integer, nullable=False),
    Column("predicted_at", _MOMENT, nullable=False, comment="UTC"),
    Column("model", String(255), nullable=False),
    Column("version", String(32), nullable=False),
    Column("probability", Double, nullable=False),
    Column("class", SmallInteger, nullable=False),
    Column("inputs", Text, nullable=False, comment="JSON object of the fields as the model saw them"),
    Index("predictions_request", "request_id", "number"),
)

OUTCOMES = Table(
    "outcomes",
    METADATA,
    Column("id", _NUMBER, primary_key=True, autoincrement=True),
    Column("request_id", String(64), nullable=False),
    Column("number", Integer, nullable=False),
    Column("readmitted", Boolean, nullable=False),
    Column("received_at", _MOMENT, nullable=False, comment="UTC"),
    UniqueConstraint("request_id", "number", name="outcomes_request"),
)

OUTCOME_CORRECTIONS = Table(
    "outcome_corrections",
    METADATA,
    Column("id", _NUMBER, primary_key=True, autoincrement=True),
    Column("request_id", String(64), nullable=False),
    Column("number", Integer, nullable=False),
    Column("readmitted_before", Boolean, nullable=False),
    Column("received_before", _MOMENT, nullable=False, comment="UTC"),
    Column("readmitted", Boolean, nullable=False),
    Column("received_at", _MOMENT, nullable=False, comment="UTC"),
    Column("corrected_by", String(64), nullable=False, comment="request id of the correction"),
    Index("outcome_corrections_request", "request_id", "number"),
)
"""One row for each correction of an outcome: what it was before, and which request changed it when."""

LOADED_SLICES = Table(
    "loaded_slices",
    METADATA,
    Column("name", String(64), primary_key=True),
    Column("loaded_at", _MOMENT, nullable=False, comment="UTC"),
)
"""Slices of the spool whose rows are in `predictions`, so that no slice is loaded twice."""


# A server that vanished must not block the writer: by default PyMySQL waits forever.
_MYSQL_SECONDS: Final = {"connect_timeout": 3, "read_timeout": 30, "write_timeout": 30}
_CREATING = threading.Lock()


def create_tables(engine: Engine) -> None:
    """Create missing tables, under a lock, because two threads could both find them missing."""
    with _CREATING:
        METADATA.create_all(engine)


def connect(url: str) -> Engine:
    """Return an engine; it connects on first use."""
    sqlite = make_url(url).get_backend_name() == "sqlite"
    engine = create_engine(
        url,
        connect_args={} if sqlite else dict(_MYSQL_SECONDS),
        pool_pre_ping=True,
        pool_recycle=1800,
        hide_parameters=True,
        # Positional parameters: the writer passes tuples to the driver.
        paramstyle="qmark" if sqlite else "format",
    )
    if sqlite:
        event.listen(engine, "connect", _write_ahead)
    return engine


def _write_ahead(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    # In this mode, readers and the writer of an SQLite file do not block each other.
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()
