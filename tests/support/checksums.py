"""The checksum of every table of RawData and CleanData."""

import sqlalchemy as sa

from readmission_data import bulk, databases
from readmission_data.clean import tables as clean_tables
from readmission_data.raw import tables as raw_tables
from readmission_data.raw.checksum import checksum
from readmission_data.settings import DataSettings


def of_raw(settings: DataSettings) -> dict[str, str]:
    """Return the current checksums of RawData."""
    with databases.engine(settings.raw_url) as engine, engine.connect() as connection:
        return _of(connection, {table.name: table for table in raw_tables.METADATA.sorted_tables})


def of_clean(settings: DataSettings) -> dict[str, str]:
    """Return the current checksums of CleanData."""
    with databases.engine(settings.clean_url) as engine, engine.connect() as connection:
        info = bulk.read(connection, clean_tables.define(())[clean_tables.FEATURE_INFO]).to_pandas()
        return _of(connection, clean_tables.define(clean_tables.read_features(info)))


def _of(connection: sa.Connection, tables: dict[str, sa.Table]) -> dict[str, str]:
    return {name: checksum(connection, table) for name, table in tables.items()}
