"""Databases and the artifacts that they name: a restore takes two that belong together, or touches none."""

import io
import time
from datetime import UTC, datetime

import pytest

from backup.conftest import client
from readmission_backup.backups import catalog_of
from readmission_backup.catalog import Entry, Manifest, name_of

KINDS = ("mysql", "artifacts")


@pytest.fixture
def given(environment):
    """The environment of server 2's pods, for root: databases and a bucket."""

    def give(**changed):
        return environment(
            "root",
            READMISSION_BACKUP_DATABASES='["RawData"]',
            READMISSION_BACKUP_SOURCE_BUCKET="mlflow",
            **changed,
        )

    return give


class Models:
    """Models as MLflow keeps them: a row and a file each."""

    def __init__(self, databases, store):
        self.databases, self.store = databases, store

    def clear(self):
        self.databases.query("root", "DROP DATABASE IF EXISTS RawData")
        for item in list(self.store.list_objects("mlflow", recursive=True)):
            self.store.remove_object("mlflow", item.object_name)

    def register(self, number):
        self.store.put_object("mlflow", f"m-{number}", io.BytesIO(b"model"), 5)
        self.databases.query("root", f"INSERT INTO RawData.models VALUES ({number})")

    def there(self):
        """Return the rows and the files."""
        rows = self.databases.query("root", "SELECT id FROM RawData.models ORDER BY id").split()
        return rows, [item.object_name for item in self.store.list_objects("mlflow")]


@pytest.fixture
def models(databases, store):
    found = Models(databases, client(store, "root"))
    found.clear()
    databases.query("root", "CREATE DATABASE RawData; CREATE TABLE RawData.models (id INT PRIMARY KEY)")
    found.register(1)
    yield found
    found.clear()


def made(command, given, kind):
    done = command(given(), kind)
    assert done.returncode == 0, done.stderr
    name = done.stdout.strip()
    # Names are seconds: the next backup is a later one.
    while name_of(datetime.now(UTC)) <= name:
        time.sleep(0.02)
    return name


def test_a_dump_without_artifacts_of_its_own_is_not_the_latest(models, given, command):
    dump, copy = (made(command, given, kind) for kind in KINDS)
    models.register(2)
    later = made(command, given, "mysql")
    done = command(given(RESTORE_OVERWRITE="true"), "restore")
    assert done.returncode == 0, done.stderr
    assert models.there() == (["1"], ["m-1"])
    # The artifacts' name is not a dump's, and the later dump still has none.
    for name, said in ((copy, f"no backup {copy}"), (later, "no complete backup")):
        refused = command(given(RESTORE_OVERWRITE="true", RESTORE_FROM=name), "restore")
        assert (refused.returncode, said in refused.stderr) == (1, True), refused.stderr
        assert models.there() == (["1"], ["m-1"])
    assert command(given(RESTORE_OVERWRITE="true", RESTORE_FROM=dump), "restore").returncode == 0


@pytest.mark.parametrize("harm", ["broken artifacts", "no artifacts", "a bucket that holds objects"])
def test_databases_are_not_touched_before_the_artifacts_are_checked(harm, models, given, command, settings):
    name = made(command, given, "mysql")
    changed = {"RESTORE_FROM": name}
    if harm != "no artifacts":
        made(command, given, "artifacts")
    if harm == "a bucket that holds objects":
        models.databases.query("root", "DROP TABLE RawData.models")
        said = "the bucket mlflow holds objects; RESTORE_OVERWRITE=true"
    else:
        models.databases.query("root", "INSERT INTO RawData.models VALUES (2)")
        changed["RESTORE_OVERWRITE"] = "true"
        said = "no complete backup"
    if harm == "broken artifacts":
        (entry,) = next(catalog_of(settings(), "artifacts").whole()).entries
        models.store.put_object("backups", entry.object, io.BytesIO(bytes(entry.size)), entry.size)
        said = "is damaged"
    before = models.databases.query("root", "SHOW TABLES IN RawData")
    done = command(given(**changed), "restore")
    assert (done.returncode, said in done.stderr) == (1, True), done.stderr
    assert models.databases.query("root", "SHOW TABLES IN RawData") == before
    if before:
        assert models.there() == (["1", "2"], ["m-1"])


# Dumps and copies of the artifacts that are there (`!`: not whole), RESTORE_FROM: the two that are taken.
PAIRS = {
    "both of last night": (("20T0107", "21T0107"), ("20T0137", "21T0137"), "latest", ("21T0107", "21T0137")),
    "between the two jobs": (("20T0107", "21T0107"), ("20T0137",), "latest", ("20T0107", "20T0137")),
    "broken artifacts": (("20T0107", "21T0107"), ("20T0137", "21T0137!"), "latest", ("20T0107", "20T0137")),
    "a broken dump": (("20T0107", "21T0107!"), ("20T0137", "21T0137"), "latest", ("20T0107", "20T0137")),
    "a night without artifacts": (("20T0107", "21T0107"), ("22T0137",), "latest", ("21T0107", "22T0137")),
    "by name": (("20T0107", "21T0107"), ("20T0137", "21T0137"), "20T0107", ("20T0107", "20T0137")),
    "by name, then broken artifacts": (
        ("20T0107", "21T0107"),
        ("20T0137!", "21T0137"),
        "20T0107",
        ("20T0107", "21T0137"),
    ),
    "the artifacts' name": (("20T0107", "21T0107"), ("20T0137", "21T0137"), "20T0137", None),
    "no artifacts since": (("20T0107", "21T0107"), ("20T0137",), "21T0107", None),
    "no pair": (("21T0107",), ("20T0137",), "latest", None),
}


@pytest.mark.parametrize("case", PAIRS)
def test_what_is_restored_belongs_together(case, given, command, settings):
    *there, asked, taken = PAIRS[case]
    for kind, names in zip(KINDS, there, strict=True):
        catalog = catalog_of(settings(), kind)
        for name in names:
            lost = (Entry("lost", "lost", 1, ""),) if name.endswith("!") else ()
            catalog.publish(Manifest(catalog.prefix, kind, full(name.rstrip("!")), "age1", lost))
    done = command(given(RESTORE_FROM=asked if asked == "latest" else full(asked)), "verify")
    read = [line.partition(":")[0] for line in done.stdout.splitlines()]
    assert read == [f"{kind} {full(name)}" for kind, name in zip(KINDS, taken or (), strict=False)]
    assert done.returncode == (0 if taken else 1), done.stderr


def full(name):
    return f"202611{name}00Z"
