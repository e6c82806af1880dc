"""The tables of RawData."""

import base64
from typing import Any, Final

import pandas as pd
import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from readmission_data import bulk
from readmission_data.encounters.columns import BY_NAME, COLUMNS, TARGET, Column, Kind
from readmission_data.raw.split import Split

__all__ = [
    "BATCH_INFO",
    "ENCOUNTERS",
    "METADATA",
    "OUTCOME_HISTORY",
    "REJECTED_ROWS",
    "Split",
    "create",
    "read_split",
]

METADATA: Final = sa.MetaData()

_ICD9_LENGTH: Final = 6
# Levels are compared byte by byte, case-sensitively ("no" is not "NO").
_MYSQL: Final[dict[str, Any]] = {"mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_0900_bin"}


def _type(column: Column) -> sa.types.TypeEngine[int] | sa.types.TypeEngine[str]:
    if column.kind is Kind.IDENTIFIER:
        return sa.BigInteger()
    if column.kind is Kind.INTEGER:
        return sa.SmallInteger()
    if column.kind is Kind.ICD9:
        return sa.String(_ICD9_LENGTH)
    return sa.String(max(len(level) for level in column.levels))


def _encounters(split: Split) -> sa.Table:
    """All 50 typed columns, with NULL for missing values, and the batch of the row."""
    columns = [
        sa.Column(
            column.name,
            _type(column),
            primary_key=column.name == "encounter_id",
            autoincrement=False,
            nullable=column.missing,
        )
        for column in COLUMNS
    ]
    return sa.Table(
        f"{split}_data", METADATA, *columns, sa.Column("batch", sa.Integer, nullable=False), **_MYSQL
    )


ENCOUNTERS: Final = {split: _encounters(split) for split in Split}
"""`train_data`, `validation_data` and `test_data`."""

_MOMENT: Final = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql")

BATCH_INFO: Final = sa.Table(
    "batch_info",
    METADATA,
    sa.Column("batch", sa.Integer, primary_key=True, autoincrement=False),
    # Where it came from: `file` or `feed`, its path or address, and the checksum of the whole CSV behind it.
    sa.Column("source_kind", sa.String(8), nullable=False),
    sa.Column("source_name", sa.String(1000), nullable=False),
    sa.Column("source_sha256", sa.String(64), nullable=False),
    sa.Column("dataset_kind", sa.String(16), nullable=False),
    # The start of the next batch: a file's byte or a feed's cursor, and the number of that line.
    sa.Column("next_cursor", sa.String(255), nullable=False),
    sa.Column("next_line", sa.BigInteger, nullable=False),
    # Whether an encounter's number may come again in the rest of the source.
    sa.Column("repeats_possible", sa.Boolean, nullable=False),
    sa.Column("rows_read", sa.BigInteger, nullable=False),
    sa.Column("train_rows", sa.BigInteger, nullable=False),
    sa.Column("validation_rows", sa.BigInteger, nullable=False),
    sa.Column("test_rows", sa.BigInteger, nullable=False),
    # Rows of encounters that are in the tables already; `outcome_history` lists those with another outcome.
    sa.Column("known_rows", sa.BigInteger, nullable=False),
    sa.Column("rejected_rows", sa.BigInteger, nullable=False),
    # UTC.
    sa.Column("started", _MOMENT, nullable=False),
    sa.Column("finished", _MOMENT, nullable=False),
    **_MYSQL,
)

REJECTED_ROWS: Final = sa.Table(
    "rejected_rows",
    METADATA,
    sa.Column("batch", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("line_number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("source_sha256", sa.String(64), nullable=False),
    # The line as it came, without its line end. `encoding` is `utf-8`, or `base64` where its bytes are no
    # text.
    sa.Column("encoding", sa.String(8), nullable=False),
    sa.Column("line", sa.Text().with_variant(mysql.LONGTEXT(), "mysql"), nullable=False),
    sa.Column("reason", sa.String(1000), nullable=False),
    **_MYSQL,
)

OUTCOME_HISTORY: Final = sa.Table(
    "outcome_history",
    METADATA,
    sa.Column("encounter_id", sa.BigInteger, primary_key=True, autoincrement=False),
    # The batch that changed the outcome, and the line of its source: `batch_info` has the source and when.
    sa.Column("batch", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("line_number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("outcome_before", _type(BY_NAME[TARGET]), nullable=False),
    sa.Column("outcome", _type(BY_NAME[TARGET]), nullable=False),
    **_MYSQL,
)
"""One row for each change of an encounter's `readmitted` after it was loaded."""


def create(connection: sa.Connection) -> None:
    """Create missing tables, and let tables of a release without pending outcomes hold them."""
    # One query instead of one for each table: every load asks it.
    present = set(sa.inspect(connection).get_table_names())
    if METADATA.tables.keys() <= present:
        return
    if connection.dialect.name == "mysql":
        # Before the new table: an upgrade that is interrupted here begins again.
        for table in ENCOUNTERS.values():
            if table.name in present:
                _widen(connection, table.c[TARGET])
    METADATA.create_all(connection)


def _widen(connection: sa.Connection, column: sa.Column[Any]) -> None:
    quote = connection.dialect.identifier_preparer.quote
    kind = column.type.compile(connection.dialect)
    connection.exec_driver_sql(
        f"ALTER TABLE {quote(column.table.name)} MODIFY {quote(column.name)} {kind} NOT NULL"
    )


def line_of(encoding: str, line: str) -> bytes:
    """Return the line of a rejected row as it came."""
    return base64.b64decode(line) if encoding == "base64" else line.encode()


def read_split(connection: sa.Connection, split: Split) -> pd.DataFrame:
    """Return the encounters of a split, one per row, in the order of `encounter_id`.

    Integers are int64; categories and ICD-9 codes are strings, missing ones None or NaN. The level "None" of
    the two laboratory results stays a string.
    """
    names = [column.name for column in COLUMNS]
    frame: pd.DataFrame = bulk.read(connection, ENCOUNTERS[split], names).to_pandas()
    return frame
