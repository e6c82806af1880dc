from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from readmission_data import databases
from readmission_data.raw import tables
from readmission_data.raw.checksum import checksum
from readmission_data.settings import DataSettings


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Callable[..., DataSettings]:
    """Settings with a separate database for each test, on SQLite and on MySQL."""

    def make(**values: object) -> DataSettings:
        given = {"raw_url": SecretStr(database_url), "cache_dir": tmp_path / "cache", **values}
        return DataSettings(**given)

    return make


@pytest.fixture
def query(database_url: str):
    """A function that runs a query on the test's database and returns its rows."""
    with databases.engine(SecretStr(database_url)) as engine:

        def run(statement: str | sa.Select) -> list[tuple]:
            text = sa.text(statement) if isinstance(statement, str) else statement
            with engine.connect() as connection:
                return [tuple(row) for row in connection.execute(text)]

        yield run


def checksums(url: str) -> dict[str, str]:
    """The checksum of every table of RawData."""
    with databases.engine(SecretStr(url)) as engine, engine.connect() as connection:
        return {table.name: checksum(connection, table) for table in tables.METADATA.sorted_tables}
