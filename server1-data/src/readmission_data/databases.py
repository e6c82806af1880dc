"""Engines for RawData and CleanData: SQLite or MySQL, depending on the URL."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from pydantic import SecretStr
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError
from tenacity import Retrying, before_sleep_log, retry_if_exception, stop_after_attempt, wait_exponential

from readmission_data.errors import DatabaseError

log = logging.getLogger(__name__)

LOCK_SECONDS: Final = 300
"""How long a writer waits for the previous one."""

_ROW_LOCK_SECONDS: Final = 10
"""How long a statement waits for a row that another transaction has locked."""

_TRIES: Final = 5
_TRANSIENT: Final = frozenset(
    {
        1053,  # the server is shutting down
        1205,  # lock wait timeout
        1213,  # deadlock
        2003,  # no connection
        2006,  # the server has gone away
        2013,  # connection lost during a query
        3024,  # the query took too long
        4031,  # disconnected for inactivity
    }
)
"""MySQL's errors that may not occur again if the whole transaction is retried."""

_NEEDED: Final = {
    1021: "free space on the server's disk",
    1030: "free space on the server's disk, if it is full",
    1114: "free space on the server's disk",
    1153: "raise max_allowed_packet on the server",
    1290: "make the server writable, or name the primary server",
    1836: "make the server writable, or name the primary server",
    1148: "set local_infile=ON on the server",
    3948: "set local_infile=ON on the server",
}
"""How to fix errors of MySQL that retries cannot solve."""

_BEGIN: Final = "sqlite_begin"
_IMMEDIATE: Final = {_BEGIN: "BEGIN IMMEDIATE"}


@contextmanager
def engine(url: SecretStr) -> Iterator[sa.Engine]:
    """Open the engine of a database and close its connections at the end.

    `url` is `sqlite:///PATH` (missing folders are created) or `mysql+pymysql://…`. Raise `DatabaseError` for
    any other URL, and for every error of the database that the block does not handle itself.
    """
    opened = _create(url)
    try:
        yield opened
    except DBAPIError as error:
        raise DatabaseError(f"{shown(url)}: {_reason(error)}") from error
    finally:
        opened.dispose()


def shown(url: SecretStr) -> str:
    """Return a database's URL without its password, safe to show."""
    return sa.make_url(url.get_secret_value()).render_as_string(hide_password=True)


def _create(url: SecretStr) -> sa.Engine:
    try:
        parsed = sa.make_url(url.get_secret_value())
    except ArgumentError:
        raise DatabaseError("the database's URL is not valid; an example is sqlite:///raw.db") from None
    if parsed.drivername in {"sqlite", "sqlite+pysqlite"}:
        return _sqlite(parsed)
    if parsed.drivername == "mysql+pymysql":
        return _mysql(parsed)
    raise DatabaseError(f"unsupported database {parsed.drivername}; use sqlite or mysql+pymysql")


@contextmanager
def exclusive(engine: sa.Engine, section: str) -> Iterator[sa.Connection]:
    """Open a connection that excludes other writers of the same section.

    The caller begins and commits transactions on it. On MySQL it holds a named lock of this database and
    section until the connection closes for any reason; on SQLite each transaction locks the file when it
    begins. Raise `DatabaseError` if the other writer takes too long.
    """
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            yield connection.execution_options(**_IMMEDIATE)
        else:
            with _named_lock(connection, section):
                yield connection


@contextmanager
def _named_lock(connection: sa.Connection, section: str) -> Iterator[None]:
    # Lock names are global to the server, not per database, and have at most 64 characters.
    name = f"{section}@{connection.engine.url.database}"[:64]
    query = sa.text("SELECT GET_LOCK(:name, :seconds)")
    with connection.begin():
        if connection.execute(query, {"name": name, "seconds": LOCK_SECONDS}).scalar() != 1:
            where = connection.engine.url.render_as_string(hide_password=True)
            raise DatabaseError(f"{where}: another writer has held {section} for {LOCK_SECONDS} s")
    try:
        yield
    finally:
        # A connection that broke has lost the lock already.
        if not connection.invalidated:
            connection.rollback()
            with connection.begin():
                connection.execute(sa.text("SELECT RELEASE_LOCK(:name)"), {"name": name})


def one_of(column: sa.ColumnElement[int], numbers: Sequence[int]) -> sa.ColumnElement[bool]:
    """Return the condition that a column holds one of some numbers, however many there are."""
    # Integers are part of the SQL text, because SQLite limits the number of parameters.
    return column.in_(sa.bindparam("numbers", list(numbers), expanding=True, literal_execute=True))


def pages(
    engine: sa.Engine, key: sa.ColumnElement[int], *columns: sa.ColumnElement[Any], rows: int
) -> Iterator[Sequence[sa.Row[*tuple[Any, ...]]]]:
    """Yield the key and other columns of a whole table in the order of the key, `rows` at a time.

    No transaction is open between two pages.
    """
    query = sa.select(key, *columns).order_by(key).limit(rows)
    after: int | None = None
    while True:
        with engine.connect() as connection:
            page = connection.execute(query if after is None else query.where(key > after)).all()
        if not page:
            return
        yield page
        after = page[-1][0]


def tries() -> Retrying:
    """Return the attempts of a transaction: it is retried after a lost connection, deadlock or lock timeout.

    Each attempt repeats the whole transaction on a new connection. The last attempt raises its own error.
    """
    return Retrying(
        retry=retry_if_exception(lambda error: _code(error) in _TRANSIENT),
        wait=wait_exponential(multiplier=0.5, max=8),
        stop=stop_after_attempt(_TRIES),
        before_sleep=before_sleep_log(log, logging.WARNING),
        reraise=True,
    )


def _code(error: BaseException) -> int | None:
    """Return the number of MySQL's error, or None for any other error."""
    if not isinstance(error, DBAPIError) or error.orig is None or not error.orig.args:
        return None
    code = error.orig.args[0]
    return code if isinstance(code, int) else None


def _reason(error: DBAPIError) -> str:
    """Return the driver's message, or only type and code if the message may repeat values."""
    if isinstance(error, DataError | IntegrityError):
        return f"{type(error).__name__}, code {error.orig.args[0] if error.orig else '?'}"
    words = " ".join(str(error.orig).split())
    needed = _NEEDED.get(_code(error) or 0)
    return f"{words}; {needed}" if needed else words


def _mysql(url: sa.URL) -> sa.Engine:
    return sa.create_engine(
        url,
        connect_args={
            "charset": "utf8mb4",
            "local_infile": True,
            "init_command": f"SET SESSION innodb_lock_wait_timeout = {_ROW_LOCK_SECONDS}",
        },
        isolation_level="READ COMMITTED",
        pool_pre_ping=True,
        # Keeps patients' values out of error messages.
        hide_parameters=True,
    )


def _sqlite(url: sa.URL) -> sa.Engine:
    if url.database:
        folder = Path(url.database).parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DatabaseError(f"cannot create the folder {folder}: {error.strerror}") from error
    created = sa.create_engine(url, connect_args={"timeout": LOCK_SECONDS}, hide_parameters=True)

    @sa.event.listens_for(created, "connect")
    def prepare(connection: Any, _record: object) -> None:  # noqa: ANN401 - the driver's own connection
        # Python's driver begins transactions late and never around DDL. Here SQLAlchemy begins them (below),
        # so that a rollback also undoes DDL.
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")

    @sa.event.listens_for(created, "begin")
    def begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get(_BEGIN, "BEGIN"))

    return created
