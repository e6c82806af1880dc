"""The contract of the prediction log describes the tables that server 3 creates."""

import runpy
from pathlib import Path

import pytest
import sqlalchemy as sa

from readmission_data.monitoring import prediction_log
from server1.notebooks.support.predictions import CONTRACT

TABLES = Path(__file__).parents[3] / "server3-serving/api/src/readmission_api/prediction_log/tables.py"


def described(engine):
    """Return name, nullability, key and length of each column of the two tables."""
    inspector = sa.inspect(engine)
    return {
        table: {
            column["name"]: (
                column["nullable"],
                bool(column["primary_key"]),
                getattr(column["type"], "length", None),
                column["type"]._type_affinity,
            )
            for column in inspector.get_columns(table)
        }
        for table in ("predictions", "outcomes")
    }


@pytest.fixture(scope="module")
def contract():
    engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool)
    with engine.begin() as connection:
        connection.connection.executescript(CONTRACT.read_text())
    return engine


def test_server_3_makes_what_the_contract_says(contract):
    made = sa.create_engine("sqlite://", poolclass=sa.StaticPool)
    # Loads server 3's module by path, because its package is not installed here.
    runpy.run_path(str(TABLES))["METADATA"].create_all(made)
    assert described(made) == described(contract)
    for table in ("predictions", "outcomes"):
        unique = [
            sorted(tuple(one["column_names"]) for one in sa.inspect(engine).get_unique_constraints(table))
            for engine in (made, contract)
        ]
        assert unique[0] == unique[1]


def test_server_1_reads_columns_that_the_contract_has(contract):
    for table in (prediction_log.PREDICTIONS, prediction_log.OUTCOMES):
        have = {column["name"] for column in sa.inspect(contract).get_columns(table.name)}
        assert set(table.c.keys()) <= have
