"""Empties RawData and CleanData, for whoever wants to begin anew."""

import sqlalchemy as sa

from readmission_data import databases
from readmission_data.clean import saving
from readmission_data.clean import tables as clean_tables
from readmission_data.raw import tables as raw_tables
from readmission_data.settings import DataSettings


def empty(settings: DataSettings) -> dict[str, int]:
    """Remove every row of RawData and the processed tables; returns how many rows RawData had, by table.

    CleanData goes first: killed in between, no processed table outlives the encounters it was made of. Each
    database is emptied wholly or not at all, and not while somebody writes to it.
    """
    clean = databases.create_engine(settings.clean_url)
    with databases.exclusive(clean, saving.SECTION) as connection, connection.begin():
        saving.drop(connection, clean_tables.NAMES)
    with databases.exclusive(databases.create_engine(settings.raw_url), "raw") as connection:
        with connection.begin():
            raw_tables.create(connection)
        with connection.begin():
            return {
                table.name: connection.execute(sa.delete(table)).rowcount
                for table in raw_tables.METADATA.tables.values()
            }
