"""Bulk writes and reads of whole tables, in the fastest way for each database."""

import re
import tempfile
from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import sqlalchemy as sa

from readmission_data.ahead import one_ahead
from readmission_data.errors import BulkError

ROWS_AT_ONCE: Final = 20_000
"""Number of rows kept as text at a time."""

# LOAD DATA's escapes of characters that would end a field or a line. The backslash comes first.
_ESCAPES: Final = (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r"), ("\0", "\\0"))
_NEEDS_ESCAPE: Final = r"[\\\t\n\r\x00]"
_NULL: Final = "\\N"


def insert(connection: sa.Connection, table: sa.Table, columns: pa.Table) -> None:
    """Insert rows inside the caller's transaction, all or none.

    `columns` are columns of the table by name; the table's other columns get their defaults. On MySQL rows
    are written by LOAD DATA LOCAL, which only warns about a value that does not fit or a duplicate key. Here
    both raise `BulkError`, and the caller must roll back.
    """
    unknown = set(columns.column_names) - set(table.columns.keys())
    if unknown:
        raise BulkError(f"{table.name} has no column {min(unknown)}")
    if columns.num_rows == 0:
        return
    if connection.dialect.name == "mysql":
        quote = connection.dialect.identifier_preparer
        names = ", ".join(quote.quote(name) for name in columns.column_names)
        rendered = ((_as_text(batch), len(batch)) for batch in columns.to_batches(ROWS_AT_ONCE))
        # The next rows are rendered while the server writes these.
        for text, rows in one_ahead(rendered):
            _load_data(connection, table, names, text, rows)
    else:
        _insert_many(connection, table, columns)


def read(connection: sa.Connection, table: sa.Table, names: Sequence[str] | None = None) -> pa.Table:
    """Read a table's integers (int64), floats (float64) and texts (string), in the order of its key.

    `names` picks columns. On MySQL each row comes as one line of text, which is several times faster than
    one value at a time; raise `BulkError` if a text contains a tab or a line break.
    """
    columns = [table.columns[name] for name in names or table.columns.keys()]
    schema = pa.schema([(column.name, _arrow_type(column)) for column in columns])
    if connection.dialect.name == "mysql":
        return _read_lines(connection, table, columns, schema)
    rows = connection.execute(sa.select(*columns).order_by(*table.primary_key)).all()
    values = zip(*rows, strict=True) if rows else ([] for _ in columns)
    return pa.table(
        [pa.array(value, type=field.type) for value, field in zip(values, schema, strict=True)], schema
    )


def _read_lines(
    connection: sa.Connection, table: sa.Table, columns: Sequence[sa.Column[Any]], schema: pa.Schema
) -> pa.Table:
    fields = [sa.func.ifnull(column, _NULL) if column.nullable else column for column in columns]
    query = sa.select(sa.func.concat_ws("\t", *fields)).order_by(*table.primary_key)
    lines = connection.execute(query).scalars().all()
    if not lines:
        return schema.empty_table()
    try:
        return pa.csv.read_csv(
            pa.BufferReader("\n".join(lines).encode()),
            pa.csv.ReadOptions(column_names=schema.names),
            pa.csv.ParseOptions(delimiter="\t", quote_char=False, ignore_empty_lines=False),
            pa.csv.ConvertOptions(column_types=schema, null_values=[_NULL], strings_can_be_null=True),
        )
    except pa.ArrowInvalid:
        raise BulkError(f"{table.name} holds a text with a tab or a line break; read it row by row") from None


def _arrow_type(column: sa.Column[Any]) -> pa.DataType:
    if isinstance(column.type, sa.Integer):
        return pa.int64()
    if isinstance(column.type, sa.Float):
        return pa.float64()
    if isinstance(column.type, sa.String):
        return pa.string()
    raise BulkError(f"{column} is neither integer, float nor text; read it row by row")


def _insert_many(connection: sa.Connection, table: sa.Table, columns: pa.Table) -> None:
    quote = connection.dialect.identifier_preparer
    names = ", ".join(quote.quote(name) for name in columns.column_names)
    marks = ", ".join("?" * columns.num_columns)
    statement = f"INSERT INTO {quote.format_table(table)} ({names}) VALUES ({marks})"  # noqa: S608 - names
    for batch in columns.to_batches(ROWS_AT_ONCE):
        rows = list(zip(*(_plain(column).to_pylist() for column in batch.columns), strict=True))
        try:
            connection.exec_driver_sql(statement, rows)
        except sa.exc.IntegrityError as error:
            raise BulkError(f"{table.name} refused rows: {error.orig}") from error


def _load_data(connection: sa.Connection, table: sa.Table, names: str, text: Any, rows: int) -> None:  # noqa: ANN401 - a buffer
    # The file has no name: nothing stays behind when this process is killed.
    with tempfile.TemporaryFile() as file:
        file.write(text)
        file.flush()
        file.seek(0)
        statement = (
            f"LOAD DATA LOCAL INFILE '/dev/fd/{file.fileno()}' "
            f"INTO TABLE {connection.dialect.identifier_preparer.format_table(table)} "
            f"CHARACTER SET utf8mb4 ({names})"
        )
        result = connection.exec_driver_sql(statement)
    # The answer has the number of warnings; only their text takes another query.
    if result.context.cursor.warning_count:
        warning = connection.exec_driver_sql("SHOW WARNINGS LIMIT 1").one()
        # The message repeats the value; the column and the row are enough.
        place = re.search(r"column '(\w+)' at row (\d+)|for key '([\w.]+)'", str(warning.Message))
        where = f" ({place.group()})" if place else ""
        raise BulkError(f"{table.name} refused rows: MySQL's warning {warning.Code}{where}")
    if result.rowcount != rows:
        raise BulkError(f"{table.name} took {result.rowcount} of {rows} rows")


def _as_text(batch: pa.RecordBatch) -> Any:  # noqa: ANN401 - pyarrow has no types
    """Return a buffer with rows as LOAD DATA reads them by default: tabs, line feeds, backslashes."""
    fields = [_escaped(column) for column in batch.columns]
    rows = pc.binary_join_element_wise(*fields, "\t", null_handling="replace", null_replacement=_NULL)
    return _content(pc.binary_join_element_wise(rows, "", "\n"))


def _content(texts: Any) -> Any:  # noqa: ANN401 - pyarrow has no types
    """Return the values of an arrow array of texts one after the other, as a buffer over its own bytes."""
    _, bounds, values = texts.buffers()
    offsets = pa.Array.from_buffers(pa.int32(), len(texts) + 1, [None, bounds], offset=texts.offset)
    start = offsets[0].as_py()
    return values.slice(start, offsets[len(texts)].as_py() - start)


def _escaped(column: pa.Array) -> pa.Array:
    if pa.types.is_dictionary(column.type):
        # A value that occurs a thousand times is escaped once.
        return column.from_arrays(column.indices, _escaped(column.dictionary)).dictionary_decode()
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    if pa.types.is_float32(column.type):
        # The same digits, and so the same value, as SQLite keeps.
        column = column.cast(pa.float64())
    text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
    column = column.cast(pa.string())
    if text and pc.any(pc.match_substring_regex(column, _NEEDS_ESCAPE)).as_py():
        for plain, escaped in _ESCAPES:
            column = pc.replace_substring(column, plain, escaped)
    return column


def _plain(column: pa.Array) -> pa.Array:
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
