"""Databases: backed up as their user, restored as root, compared by MySQL's own checksums."""

import io
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from minio.commonconfig import CopySource

from readmission_backup.backups import catalog_of

TABLES = ("RawData.encounters", "RawData.odd", "CleanData.counted")


@pytest.fixture
def filled(databases):
    """Two databases with what is easily lost: bytes, letters, NULL, a view, a trigger, a routine."""
    clear(databases)
    databases.query(
        "root",
        """
        CREATE DATABASE RawData CHARACTER SET utf8mb4; CREATE DATABASE CleanData CHARACTER SET utf8mb4;
        CREATE TABLE RawData.encounters
          (id INT PRIMARY KEY, race VARCHAR(20), weight DOUBLE, seen DATETIME(6));
        INSERT INTO RawData.encounters
          WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 900)
          SELECT i, IF(i % 7, 'Caucasian', NULL), i / 3, '2026-11-21 01:02:03.456789' FROM n;
        CREATE TABLE RawData.odd (id INT PRIMARY KEY AUTO_INCREMENT, bytes BLOB, words TEXT);
        INSERT INTO RawData.odd (bytes, words) VALUES (0x00FF0A0D275C, 'ñ 漢 😀 '' \\\\ "'), (NULL, '');
        CREATE TABLE CleanData.counted (id INT PRIMARY KEY);
        CREATE VIEW CleanData.seen AS SELECT COUNT(*) AS n FROM RawData.encounters;
        CREATE TRIGGER RawData.counting AFTER INSERT ON RawData.encounters
          FOR EACH ROW INSERT INTO CleanData.counted VALUES (NEW.id);
        CREATE PROCEDURE CleanData.nothing() SELECT 1;
        """,
    )
    yield databases
    clear(databases)


def clear(databases):
    databases.query("root", "DROP DATABASE IF EXISTS RawData; DROP DATABASE IF EXISTS CleanData;")


def checksums(databases):
    return databases.query("root", f"CHECKSUM TABLE {', '.join(TABLES)}").split()


def test_databases_come_back_as_they_were(filled, environment, command):
    before = checksums(filled)
    done = command(environment(), "mysql")
    assert done.returncode == 0, done.stderr
    clear(filled)
    restored = command(environment("root"), "restore")
    assert restored.returncode == 0, restored.stderr
    assert checksums(filled) == before
    # The trigger, the view and the routine live.
    filled.query(
        "root", "INSERT INTO RawData.encounters VALUES (1000, 'Asian', 1, NOW()); CALL CleanData.nothing()"
    )
    assert filled.query("root", "SELECT n FROM CleanData.seen; SELECT id FROM CleanData.counted").split() == [
        "901",
        "1000",
    ]
    assert "every byte is as it was written" in command(environment(), "verify").stdout


def test_a_restore_into_what_holds_tables_is_refused_unless_told(filled, environment, command):
    assert command(environment(), "mysql").returncode == 0
    before = checksums(filled)
    filled.query(
        "root",
        "INSERT INTO RawData.encounters VALUES (2000, 'Other', 1, NOW()); CREATE TABLE RawData.later (a INT)",
    )
    changed = checksums(filled)
    refused = command(environment("root"), "restore")
    assert refused.returncode == 1
    assert refused.stderr.strip().splitlines()[-1] == (
        "error: RawData, CleanData hold tables; RESTORE_OVERWRITE=true replaces them"
    )
    assert checksums(filled) == changed
    assert command(environment("root", RESTORE_OVERWRITE="true"), "restore").returncode == 0
    assert checksums(filled) == before
    assert "later" not in filled.query("root", "SHOW TABLES IN RawData")


def test_tombstones_that_are_newer_than_the_backup_survive_a_restore(filled, environment, command):
    """Without them nobody would know again whom to erase from what the restore brought back."""
    kept = {"READMISSION_BACKUP_KEPT_TABLES": '["RawData.tombstones", "RawData.none"]'}
    given = environment("root", RESTORE_OVERWRITE="true") | kept
    assert command(environment(), "mysql").returncode == 0
    filled.query(
        "root",
        "CREATE TABLE RawData.tombstones (tombstone VARCHAR(9) PRIMARY KEY);"
        "INSERT INTO RawData.tombstones VALUES ('first');",
    )
    tombstones = "SELECT tombstone FROM RawData.tombstones ORDER BY tombstone"
    # Into a backup without the table, then into one with other rows.
    for expected in (["first"], ["first", "second"]):
        done = command(given, "restore")
        assert done.returncode == 0, done.stderr
        assert filled.query("root", tombstones).split() == expected
        filled.query(
            "root", "DELETE FROM RawData.tombstones; INSERT INTO RawData.tombstones VALUES ('first')"
        )
        assert command(environment(), "mysql").returncode == 0
        filled.query("root", "REPLACE INTO RawData.tombstones VALUES ('second')")
    # A restore that was killed after it dropped the databases has them put away.
    filled.query("root", "CREATE DATABASE readmission_kept; USE readmission_kept;")
    filled.query("root", "CREATE TABLE readmission_kept.RawData_tombstones LIKE RawData.tombstones")
    filled.query("root", "INSERT INTO readmission_kept.RawData_tombstones VALUES ('third')")
    clear(filled)
    assert command(given, "restore").returncode == 0
    assert filled.query("root", tombstones).split() == ["first", "third"]
    assert filled.query("root", "SHOW DATABASES LIKE 'readmission_kept'") == ""


def test_a_dump_is_one_moment_of_both_databases(filled, environment, command):
    filled.query("root", "DROP TRIGGER RawData.counting")
    stop = threading.Event()

    def write():
        number = 10_000
        while not stop.is_set():
            number += 1
            filled.query(
                "root",
                f"START TRANSACTION; INSERT INTO RawData.encounters VALUES ({number}, NULL, 1, NOW());"
                f"INSERT INTO CleanData.counted VALUES ({number}); COMMIT;",
            )

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert command(environment(), "mysql").returncode == 0
    finally:
        stop.set()
        writer.join()
    clear(filled)
    assert command(environment("root"), "restore").returncode == 0
    count = "SELECT COUNT(*) FROM RawData.encounters WHERE id > 10000; SELECT COUNT(*) FROM CleanData.counted"
    encounters, counted = filled.query("root", count).split()
    assert encounters == counted


@pytest.mark.parametrize("harm", ["truncated", "changed", "gone"])
def test_a_broken_backup_is_refused_before_anything_is_written(harm, filled, environment, command, settings):
    assert command(environment(), "mysql").returncode == 0
    catalog = catalog_of(settings("root"), "mysql")
    (entry,) = catalog.read(catalog.names()[0]).entries
    data = catalog.client.get_object("backups", entry.object).read()
    worse = {"truncated": data[:-9], "changed": data[:-9] + bytes(9), "gone": None}[harm]
    catalog.client.remove_object("backups", entry.object)
    if worse is not None:
        upload(catalog.client, entry.object, worse)
    clear(filled)
    name = catalog.names()[0]
    refused = command(environment("root", RESTORE_FROM=name), "restore")
    assert refused.returncode == 1
    said = "is missing" if harm == "gone" else "is damaged"
    assert said in refused.stderr.strip().splitlines()[-1]
    assert filled.query("root", "SHOW DATABASES LIKE 'RawData'") == ""
    # What can be seen without reading it does not count as the latest either.
    if harm != "changed":
        assert "no complete backup" in command(environment("root"), "restore").stderr
        assert "BROKEN" in command(environment(), "list").stdout


def upload(store, name, data):
    store.put_object("backups", name, io.BytesIO(data), len(data))


def standing_in(folder, text):
    """A mysqldump of the test's own, before the real one on PATH."""
    folder.mkdir()
    (folder / "mysqldump").write_text(f"#!/bin/sh\n{text}\n")
    (folder / "mysqldump").chmod(0o755)
    return folder


def test_a_backup_that_is_killed_half_way_does_not_count(filled, environment, command, programs, tmp_path):
    assert command(environment(), "mysql").returncode == 0
    first = command(environment(), "list").stdout
    # It writes more than one part of an upload, then stands still.
    stuck = standing_in(
        tmp_path / "bin", f"head -c 20000000 /dev/urandom; touch {tmp_path}/half; exec sleep 600"
    )
    running = subprocess.Popen(
        [sys.executable, "-m", "readmission_backup", "mysql"],
        env={**environment(), "PATH": f"{stuck}:{programs}:{os.environ['PATH']}"},
        start_new_session=True,
    )
    end = time.monotonic() + 60
    while not (tmp_path / "half").exists():
        assert running.poll() is None
        assert time.monotonic() < end
        time.sleep(0.05)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    assert command(environment(), "list").stdout == first
    before = checksums(filled)
    clear(filled)
    assert command(environment("root"), "restore").returncode == 0
    assert checksums(filled) == before


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "echo 'CREATE TABLE'; echo 'mysqldump: Error 1412: changed' >&2; exit 2",
            "mysqldump: Error 1412: changed",
        ),
        ("echo 'CREATE TABLE'", "it said nothing"),
    ],
)
def test_a_dump_that_does_not_come_to_its_end_does_not_count(
    text, said, environment, command, programs, tmp_path
):
    short = standing_in(tmp_path / "bin", text)
    done = command({**environment(), "PATH": f"{short}:{programs}:{os.environ['PATH']}"}, "mysql")
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1] == f"error: mysqldump failed: {said}"
    assert command(environment(), "list").stdout == ""


@pytest.mark.usefixtures("filled")
def test_old_backups_go_and_the_last_good_one_stays(environment, command, settings):
    assert command(environment(), "mysql").returncode == 0
    catalog = catalog_of(settings("root"), "mysql")
    (new,) = catalog.names()
    for old in ("20200101T010000Z", "20200102T010000Z", "20200103T010000Z"):
        again(catalog, new, old)
    # Nothing but old ones: the newest whole one is kept, and a newer one that is broken counts for nothing.
    for file in ("manifest.json", "dump.sql.gz.age"):
        catalog.client.remove_object("backups", catalog.place(new, file))
    catalog.client.remove_object("backups", catalog.place("20200103T010000Z", "dump.sql.gz.age"))
    upload(catalog.client, catalog.place("20200104T010000Z", "dump.sql.gz.age"), b"half of one")
    assert command(environment(READMISSION_BACKUP_DATABASES='["None"]'), "mysql").returncode == 1
    assert catalog.names() == ["20200103T010000Z", "20200102T010000Z", "20200101T010000Z"]
    assert command(environment(), "mysql").returncode == 0
    # Who backs up cannot remove, and who removes needs no key.
    given = environment("expiry", READMISSION_BACKUP_UNFINISHED_HOURS="0")
    del given["READMISSION_BACKUP_SIGNING_KEYS"]
    done = command(given, "expire")
    assert done.returncode == 0, done.stderr
    (kept,) = catalog.names()
    assert kept > "2026"
    left = {
        item.object_name for item in catalog.client.list_objects("backups", catalog.folder, recursive=True)
    }
    assert left == {catalog.place(kept, "manifest.json"), catalog.place(kept, "dump.sql.gz.age")}


@pytest.mark.usefixtures("filled")
def test_a_name_means_that_backup_and_no_other(environment, command, settings):
    assert command(environment(), "mysql").returncode == 0
    catalog = catalog_of(settings(), "mysql")
    (new,) = catalog.names()
    again(catalog, new, "20200102T010000Z")
    verified = command(environment(RESTORE_FROM="20200102T010000Z"), "verify")
    assert verified.stdout.startswith("mysql 20200102T010000Z: ")
    for name in ("20200101T010000Z", "20200103T010000Z", "20990101T010000Z"):
        refused = command(environment("root", RESTORE_FROM=name, RESTORE_OVERWRITE="true"), "restore")
        assert (refused.returncode, f"no backup {name}" in refused.stderr) == (1, True)


@pytest.mark.usefixtures("filled")
def test_without_a_new_one_the_last_good_one_is_never_removed(environment, command, settings):
    assert command(environment(), "mysql").returncode == 0
    catalog = catalog_of(settings("root"), "mysql")
    (new,) = catalog.names()
    for old in ("20200101T010000Z", "20200102T010000Z"):
        again(catalog, new, old)
    catalog.client.remove_object("backups", catalog.place(new, "dump.sql.gz.age"))
    removed = catalog.expire(datetime.now(UTC), timedelta(days=14), timedelta(hours=24))
    assert removed == ["20200101T010000Z"]
    assert next(catalog.whole()).name == "20200102T010000Z"


def again(catalog, name, other):
    """Make a backup of another day of the one that there is."""
    manifest = catalog.read(name)
    (entry,) = manifest.entries
    target = catalog.place(other, "dump.sql.gz.age")
    catalog.client.copy_object("backups", target, CopySource("backups", entry.object))
    catalog.publish(replace(manifest, name=other, entries=(replace(entry, object=target),)))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"READMISSION_BACKUP_STORE_URL": "http://127.0.0.1:9"}, "the object store does not do its part"),
        ({"AWS_SECRET_ACCESS_KEY": "wrong-secret"}, "the object store does not do its part"),
        ({"READMISSION_BACKUP_BUCKET": "none"}, "error:"),
        ({"READMISSION_BACKUP_MYSQL_PASSWORD": "wrong"}, "Access denied"),
    ],
)
@pytest.mark.usefixtures("filled")
def test_what_is_wrong_is_told_in_one_line(changed, said, environment, command):
    done = command(environment(**changed), "mysql")
    assert done.returncode == 1
    assert said in done.stderr.strip().splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_a_setting_that_cannot_be_is_named(environment, command):
    done = command(environment(READMISSION_BACKUP_STORE_URL="minio:9000"), "mysql")
    assert (done.returncode, done.stderr.partition(":")[0]) == (2, "error")
    assert "store_url" in done.stderr
