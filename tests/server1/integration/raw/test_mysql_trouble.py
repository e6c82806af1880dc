"""Loads while MySQL has problems: retried or reported within seconds, with no row lost or duplicated."""

import threading
import time

import pytest
import sqlalchemy as sa
import tenacity

from readmission_data import databases
from readmission_data.errors import DatabaseError
from readmission_data.raw.load import load_all
from readmission_data.raw.tables import BATCH_INFO
from support import csv_lines

ROWS = 60

pytestmark = [
    pytest.mark.mysql,
    pytest.mark.parametrize("database_url", [pytest.param("mysql")], indirect=True),
]


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(databases, "wait_exponential", lambda **_: tenacity.wait_fixed(0.05))


@pytest.fixture
def given(settings, tmp_path):
    return settings(dataset=str(csv_lines.write(tmp_path / "d.csv", csv_lines.lines(ROWS))), batch_size=20)


def rows(query):
    tables = ("train_data", "validation_data", "test_data")
    numbers = " UNION ALL ".join(f"SELECT encounter_id FROM {table}" for table in tables)
    return query(f"SELECT COUNT(*), COUNT(DISTINCT encounter_id) FROM ({numbers}) AS everything")


@pytest.fixture
def at_statement():
    """Calls a function once, before the first statement with a given prefix."""
    listeners = []

    def install(start, function):
        pending = [function]

        def before(connection, _cursor, statement, *_):
            if pending and statement.startswith(start):
                pending.pop()(connection)

        sa.event.listen(sa.Engine, "before_cursor_execute", before)
        listeners.append(before)

    yield install
    for before in listeners:
        sa.event.remove(sa.Engine, "before_cursor_execute", before)


def kill(mysql_server):
    def function(connection):
        own = connection.connection.dbapi_connection.thread_id()
        mysql_server.execute(f"KILL {own}")

    return function


@pytest.mark.parametrize("start", ["LOAD DATA", "INSERT INTO batch_info"])
def test_a_lost_connection_is_tried_again(given, query, mysql_server, at_statement, start):
    at_statement(start, kill(mysql_server))

    results = list(load_all(given))

    assert sum(result.loaded for result in results) == ROWS
    assert rows(query) == [(ROWS, ROWS)]
    assert query("SELECT SUM(rows_read) FROM batch_info") == [(ROWS,)]


def test_a_row_lock_that_is_held_too_long_is_waited_for(given, query, monkeypatch):
    monkeypatch.setattr(databases, "_ROW_LOCK_SECONDS", 1)
    next(iter(load_all(given)))
    held, free = threading.Event(), threading.Event()

    def hold():
        with databases.engine(given.raw_url) as engine, engine.begin() as other:
            # Another transaction holds the number of the next batch, uncommitted.
            line = dict(other.execute(sa.select(BATCH_INFO)).mappings().one(), batch=2)
            other.execute(sa.insert(BATCH_INFO), line)
            held.set()
            free.wait(timeout=30)
            other.rollback()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(timeout=30)
    threading.Timer(1.8, free.set).start()
    list(load_all(given))
    thread.join()

    assert rows(query) == [(ROWS, ROWS)]


@pytest.mark.parametrize(
    ("variable", "bad", "good", "message"),
    [
        ("local_infile", "OFF", "ON", "set local_infile=ON on the server"),
        ("super_read_only", "ON", "OFF", "make the server writable, or name the primary server"),
    ],
)
def test_a_server_that_needs_its_operator_is_named(given, query, mysql_server, variable, bad, good, message):
    mysql_server.execute(f"SET GLOBAL {variable} = {bad}")
    began = time.monotonic()
    try:
        with pytest.raises(DatabaseError, match=rf"^[^\n]*{message}$"):
            list(load_all(given))
        assert time.monotonic() - began < 30
    finally:
        mysql_server.execute(f"SET GLOBAL {variable} = {good}; SET GLOBAL read_only = OFF")

    list(load_all(given))
    assert rows(query) == [(ROWS, ROWS)]


def test_a_small_packet_is_no_obstacle(given, query, mysql_server):
    mysql_server.execute("SET GLOBAL max_allowed_packet = 65536")
    try:
        list(load_all(given))
    finally:
        mysql_server.execute("SET GLOBAL max_allowed_packet = 67108864")

    assert rows(query) == [(ROWS, ROWS)]
