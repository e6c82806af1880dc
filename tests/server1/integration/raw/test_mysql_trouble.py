"""Loads while MySQL has problems: retried or reported within seconds, with no row lost or duplicated."""

import logging
import os
import subprocess
import threading
import time
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
import tenacity
from pydantic import SecretStr

from readmission_data import databases
from readmission_data.errors import DatabaseError
from readmission_data.raw import tables
from readmission_data.raw.load import load_all
from readmission_data.raw.split import Split
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


def waiting(mysql_server):
    return mysql_server.query(
        "SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'"
    ) != ["0"]


def test_the_victim_of_a_deadlock_is_tried_again(given, query, mysql_server, at_statement, caplog):
    """The load waits for another transaction, which waits for the load; MySQL ends the load."""
    with databases.engine(given.raw_url) as engine:
        with engine.begin() as connection:
            tables.create(connection)
            connection.exec_driver_sql("CREATE TABLE heavy (number INT PRIMARY KEY)")
        other = engine.connect()
        # MySQL ends the transaction that has changed less.
        other.execute(sa.text("INSERT INTO heavy VALUES (:number)"), [{"number": n} for n in range(2_000)])
        words = ["source_kind", "source_name", "source_sha256", "dataset_kind", "next_cursor"]
        numbers = [
            "next_line",
            "rows_read",
            *(f"{split}_rows" for split in Split),
            "known_rows",
            "rejected_rows",
        ]
        line: dict[str, object] = dict.fromkeys(words, "x") | dict.fromkeys(numbers, 0)
        moment = datetime(2026, 1, 1, tzinfo=UTC).replace(tzinfo=None)
        line |= {"batch": 1, "repeats_possible": False, "started": moment, "finished": moment}
        other.execute(sa.insert(BATCH_INFO), line)
        failures = []

        def lock_a_row_of_the_load():
            try:
                other.execute(sa.text("SELECT encounter_id FROM train_data FOR UPDATE")).all()
            except Exception as error:  # noqa: BLE001 - the test shows it
                failures.append(error)
            other.rollback()

        thread = threading.Thread(target=lock_a_row_of_the_load)

        def close_the_circle(_connection):
            thread.start()
            while not waiting(mysql_server):
                time.sleep(0.02)

        at_statement("INSERT INTO batch_info", close_the_circle)
        with caplog.at_level(logging.WARNING):
            results = list(load_all(given))
        thread.join()
        other.close()

    assert failures == []
    assert "1213" in caplog.text
    assert sum(result.loaded for result in results) == ROWS
    assert rows(query) == [(ROWS, ROWS)]
    assert query("SELECT SUM(rows_read) FROM batch_info") == [(ROWS,)]


@pytest.fixture
def small_disk(database_url, mysql_server):
    """Puts the database's files on a disk of 2 MB; call it for more space."""
    name = sa.make_url(database_url).database
    folder = mysql_server.folder / "data" / name
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("a disk of a fixed size needs the right to mount one")

    def grow():
        subprocess.run(["mount", "-o", "remount,size=64m", folder], check=True)

    yield grow
    with databases.engine(SecretStr(database_url)) as engine:
        tables.METADATA.drop_all(engine)
    subprocess.run(["umount", folder], check=False)


def test_a_full_disk_is_named_and_nothing_is_lost_or_doubled(settings, query, small_disk, tmp_path):
    count = 6_000
    given = settings(dataset=str(csv_lines.write(tmp_path / "d.csv", csv_lines.lines(count))))
    began = time.monotonic()
    with pytest.raises(DatabaseError, match=r"^[^\n]*free space on the server's disk[^\n]*$"):
        list(load_all(given))
    assert time.monotonic() - began < 30
    assert rows(query) == [(0, 0)]
    assert query("SELECT COUNT(*) FROM batch_info") == [(0,)]

    small_disk()
    list(load_all(given))
    assert rows(query) == [(count, count)]
