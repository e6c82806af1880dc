"""The checksum of a table's content, equal on every database."""

import hashlib

import sqlalchemy as sa

from readmission_data.raw.tables import BATCH_INFO

_FIELD_END = b"\x1f"
_ROW_END = b"\x1e"
_ROWS_AT_ONCE = 5_000
_WHEN = {BATCH_INFO.c.started, BATCH_INFO.c.finished}


def checksum(connection: sa.Connection, table: sa.Table) -> str:
    """Return the SHA-256 of a table's rows in the order of its key, as hexadecimal digits.

    Values are hashed as UTF-8 text and NULL as a separate mark, so two databases with equal content agree.
    The times in the ledger are left out, because they do not depend on the data.
    """
    columns = [column for column in table.columns if column not in _WHEN]
    query = sa.select(*columns).order_by(*table.primary_key)
    digest = hashlib.sha256()
    with connection.execution_options(yield_per=_ROWS_AT_ONCE).execute(query) as rows:
        for row in rows:
            digest.update(_FIELD_END.join(_spelled(value) for value in row) + _ROW_END)
    return digest.hexdigest()


def _spelled(value: object) -> bytes:
    if value is None:
        return b"\0"
    if isinstance(value, bool):
        value = int(value)
    return str(value).encode()
