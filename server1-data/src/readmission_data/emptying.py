"""Empty RawData and CleanData for a fresh start."""

import sqlalchemy as sa

from readmission_data import databases
from readmission_data.clean import saving
from readmission_data.clean import tables as clean_tables
from readmission_data.raw import tables as raw_tables
from readmission_data.settings import DataSettings


def empty(settings: DataSettings) -> dict[str, int]:
    """Remove every row of RawData and the processed tables; return RawData's earlier row counts by table.

    CleanData goes first: if the process is killed in between, no processed table outlives its encounters.
    Each database is emptied completely or not at all, and not while another process writes to it.
    """
    with (
        databases.engine(settings.clean_url) as clean,
        databases.exclusive(clean, saving.SECTION) as connection,
        connection.begin(),
    ):
        saving.drop(connection, clean_tables.NAMES)
    with databases.engine(settings.raw_url) as raw, databases.exclusive(raw, "raw") as connection:
        with connection.begin():
            raw_tables.create(connection)
        with connection.begin():
            return {
                table.name: connection.execute(sa.delete(table)).rowcount
                for table in raw_tables.METADATA.tables.values()
            }
