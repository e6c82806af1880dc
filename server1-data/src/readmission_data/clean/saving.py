"""Replaces all processed tables atomically."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import pyarrow as pa
import sqlalchemy as sa

from readmission_data import bulk, databases
from readmission_data.clean.tables import FEATURE_INFO, NAMES, define, read_features

SECTION: Final = "processed"

_WRITERS: Final = 2
"""Number of connections that fill the tables: the server uses one thread for each."""
_PART: Final = 10_000
_NEXT: Final = "_next"
_OLD: Final = "_old"


def replace(engine: sa.Engine, contents: dict[str, Any], check: Callable[[], None]) -> None:
    """Replace the processed tables with `contents`, which maps their names to arrow tables.

    `check` is called when no other process can write to them; if it raises, nothing is replaced. Readers see
    either all old tables or all new ones, even if the process is killed.
    """
    features = read_features(contents[FEATURE_INFO].to_pandas())
    with databases.exclusive(engine, SECTION) as connection:
        check()
        if engine.dialect.name == "mysql":
            tables = define(features, suffix=_NEXT)
            with connection.begin():
                _drop_leftovers(connection)
                _create(connection, tables)
            # Nobody reads these tables yet, so the rows need not be inserted in one transaction.
            parts = _parts(tables, contents)
            with ThreadPoolExecutor(max_workers=_WRITERS) as writers:
                shares = [parts[writer::_WRITERS] for writer in range(_WRITERS)]
                for filled in [writers.submit(_fill, engine, share) for share in shares]:
                    filled.result()
            with connection.begin():
                _swap(connection)
                _drop_leftovers(connection)
        else:
            # SQLite rolls DDL back, so the whole replacement is one transaction.
            tables = define(features)
            with connection.begin():
                drop(connection, NAMES)
                _create(connection, tables)
                for table, rows in _parts(tables, contents):
                    bulk.insert(connection, table, rows)


def _create(connection: sa.Connection, tables: dict[str, sa.Table]) -> None:
    for table in tables.values():
        table.create(connection)


def _parts(tables: dict[str, sa.Table], contents: dict[str, Any]) -> list[tuple[sa.Table, Any]]:
    """Return the rows of each table, split into parts for the writers."""
    parts: list[tuple[sa.Table, Any]] = []
    for name, table in tables.items():
        given = contents[name]
        columns = [_fitting(given.column(column), table.c[column]) for column in given.column_names]
        rows = pa.table(columns, names=given.column_names)
        parts.extend((table, rows.slice(start, _PART)) for start in range(0, rows.num_rows, _PART))
    return parts


def _fill(engine: sa.Engine, parts: list[tuple[sa.Table, Any]]) -> None:
    """Write parts over a separate connection."""
    with engine.connect() as connection, connection.begin():
        for table, rows in parts:
            bulk.insert(connection, table, rows)


def _fitting(values: Any, column: sa.Column[Any]) -> Any:  # noqa: ANN401 - pyarrow has no types
    """Return values in the type of their column; raise if a cast would change one."""
    kind = str(column.type)
    if kind == "SMALLINT":
        return values.cast(pa.int16())
    if kind == "DOUBLE" and values.type == pa.float32():
        # The shortest decimal that restores the float32: the server parses it in half the time of the exact
        # value, which has twice the digits. A feature has few distinct values, so each is formatted once.
        coded = values.combine_chunks().dictionary_encode()
        spelled = coded.dictionary.cast(pa.string()).cast(pa.float64())
        return pa.DictionaryArray.from_arrays(coded.indices, spelled)
    return values


def _swap(connection: sa.Connection) -> None:
    """Rename all tables in one statement, which is atomic in MySQL."""
    present = set(sa.inspect(connection).get_table_names())
    away = [f"{name} TO {name}{_OLD}" for name in NAMES if name in present]
    here = [f"{name}{_NEXT} TO {name}" for name in NAMES]
    connection.exec_driver_sql(f"SET SESSION lock_wait_timeout = {databases.LOCK_SECONDS}")
    connection.exec_driver_sql(f"RENAME TABLE {', '.join(away + here)}")


def _drop_leftovers(connection: sa.Connection) -> None:
    drop(connection, [name + suffix for name in NAMES for suffix in (_NEXT, _OLD)])


def drop(connection: sa.Connection, names: Iterable[str]) -> None:
    """Drop the existing tables in the caller's transaction; on MySQL the drop commits immediately."""
    if connection.dialect.name == "mysql":
        # One statement for all tables, because each statement waits for the disk.
        connection.exec_driver_sql(f"DROP TABLE IF EXISTS {', '.join(names)}")
        return
    for name in names:
        connection.exec_driver_sql(f"DROP TABLE IF EXISTS {name}")
