"""The bucket of the artifacts: copied by an account that cannot write to it, restored into an empty one."""

import hashlib
import io
import os

import pytest
from minio import Minio
from minio.error import S3Error

from backup.conftest import client, store_settings
from readmission_backup.accounts import set_up
from readmission_backup.backups import catalog_of
from readmission_backup.errors import BrokenBackupError
from readmission_backup.store import Hashing, checked, put

FILES = {
    "1/models/m-1/artifacts/model.onnx": os.urandom(300_000),
    "1/models/m-1/artifacts/input_schema.json": b'{"fields": []}',
    # The same content under another name, and a name with what URLs escape.
    "1/run/artifacts/copy of the schema ñ+%.json": b'{"fields": []}',
    "1/run/artifacts/empty": b"",
    # More than one part of an upload.
    "2/run/artifacts/large": os.urandom(17 * 1024 * 1024),
}


@pytest.fixture
def artifacts(store):
    mlflow = client(store, "mlflow")
    empty(mlflow)
    for name, data in FILES.items():
        mlflow.put_object("mlflow", name, io.BytesIO(data), len(data))
    yield mlflow
    empty(mlflow)


def empty(store):
    for item in list(store.list_objects("mlflow", recursive=True)):
        store.remove_object("mlflow", item.object_name)


def hashes(store):
    return {
        item.object_name: hashlib.sha256(store.get_object("mlflow", item.object_name).read()).hexdigest()
        for item in store.list_objects("mlflow", recursive=True)
    }


@pytest.fixture
def given(environment):
    def give(user="backup", **changed):
        return environment(
            user, READMISSION_BACKUP_DATABASES="", READMISSION_BACKUP_SOURCE_BUCKET="mlflow", **changed
        )

    return give


def test_artifacts_come_back_as_they_were(artifacts, given, command, store):
    before = hashes(artifacts)
    done = command(given(), "artifacts")
    assert done.returncode == 0, done.stderr
    refused = command(given("root"), "restore")
    assert refused.returncode == 1
    assert "RESTORE_OVERWRITE=true" in refused.stderr
    empty(artifacts)
    client(store, "root").remove_bucket("mlflow")
    restored = command(given("root"), "restore")
    assert restored.returncode == 0, restored.stderr
    assert hashes(artifacts) == before
    assert before == {name: hashlib.sha256(data).hexdigest() for name, data in FILES.items()}


def test_a_second_backup_copies_what_is_new_and_keeps_what_the_first_needs(
    artifacts, given, command, settings
):
    assert command(given(), "artifacts").returncode == 0
    catalog = catalog_of(settings(), "artifacts")

    def objects():
        return {
            item.object_name: item.last_modified
            for item in catalog.client.list_objects("backups", f"{catalog.folder}objects/", recursive=True)
        }

    first = objects()
    # Each content once: two of the files are one.
    assert len(first) == len(set(FILES.values()))
    artifacts.put_object("mlflow", "3/new", io.BytesIO(b"new"), 3)
    artifacts.remove_object("mlflow", "2/run/artifacts/large")
    # Names are seconds: the next backup is another.
    while catalog.names() and len(catalog.names()) < 2:
        assert command(given(), "artifacts").returncode == 0
    expiry = given("expiry", READMISSION_BACKUP_UNFINISHED_HOURS="0")
    assert command(expiry, "expire").returncode == 0
    (new,) = objects().keys() - first.keys()
    # The store can tell neither what an object holds nor that it is a known file.
    assert hashlib.sha256(b"new").hexdigest() not in new
    assert b"new" not in catalog.client.get_object("backups", new).read().partition(b"\n---")[2]
    assert {name: objects()[name] for name in first} == first
    oldest = catalog.names()[-1]
    assert command(given("root", RESTORE_FROM=oldest, RESTORE_OVERWRITE="true"), "restore").returncode == 0
    assert set(hashes(artifacts)) == set(FILES)


def test_a_broken_artifact_is_refused_before_anything_is_written(artifacts, given, command, settings):
    assert command(given(), "artifacts").returncode == 0
    catalog = catalog_of(settings(), "artifacts")
    entry = next(entry for entry in catalog.read(catalog.names()[0]).entries if "onnx" in entry.name)
    catalog.client.put_object("backups", entry.object, io.BytesIO(bytes(entry.size)), entry.size)
    empty(artifacts)
    done = command(given("root"), "restore")
    assert done.returncode == 1
    assert "is damaged" in done.stderr
    assert hashes(artifacts) == {}


@pytest.mark.parametrize("after", [0, 1], ids=["before the first read", "between the reads"])
def test_an_artifact_that_changes_while_it_is_copied_leaves_nothing_broken(
    after, artifacts, given, command, monkeypatch
):
    empty(artifacts)

    def write(data):
        artifacts.put_object("mlflow", "model", io.BytesIO(data), len(data))

    write(b"AAAA")
    reads = []

    def get(self, bucket, name, *rest, **options):
        if bucket == "mlflow":
            if len(reads) == after:
                write(b"BBBB")
            reads.append(name)
        return original(self, bucket, name, *rest, **options)

    original = Minio.get_object
    with monkeypatch.context() as patch:
        patch.setattr(Minio, "get_object", get)
        done = command(given(), "artifacts")
    assert done.returncode == 1
    assert "the artifact model changed while it was copied; run the backup again" in done.stderr
    write(b"AAAA")
    assert command(given(), "artifacts").returncode == 0
    assert "every byte is as it was written" in command(given(), "verify").stdout
    assert command(given("root", RESTORE_OVERWRITE="true"), "restore").returncode == 0
    assert hashes(artifacts) == {"model": hashlib.sha256(b"AAAA").hexdigest()}


@pytest.mark.parametrize("size", [4, 3_000_000])
def test_bytes_that_are_not_those_expected_never_become_an_object(size, artifacts):
    artifacts.put_object("mlflow", "source", io.BytesIO(bytes(size)), size)
    stream = Hashing(checked(artifacts, "mlflow", "source", 4, hashlib.sha256(b"AAAA").hexdigest()))
    with pytest.raises(BrokenBackupError, match="source is damaged"):
        put(artifacts, "mlflow", "target", stream, 4)
    assert "target" not in hashes(artifacts)


@pytest.mark.usefixtures("artifacts")
def test_the_account_of_the_backups_cannot_write_to_the_artifacts(store):
    account = client(store, "backup")
    with pytest.raises(S3Error, match="Access Denied"):
        account.put_object("mlflow", "planted", io.BytesIO(b"x"), 1)
    with pytest.raises(S3Error, match="Access Denied"):
        account.remove_object("mlflow", "1/run/artifacts/empty")
    with pytest.raises(S3Error, match="Access Denied"):
        client(store, "mlflow").put_object("backups", "planted", io.BytesIO(b"x"), 1)


def test_the_set_up_can_run_again_and_takes_a_new_key(artifacts, store):
    set_up(store_settings(store))
    assert len(hashes(artifacts)) == len(FILES)
    set_up(store_settings(store, mlflow_secret="another-secret-key"))
    try:
        assert client(store, "mlflow", "another-secret-key").bucket_exists("mlflow")
        with pytest.raises(S3Error, match="signature"):
            client(store, "mlflow").list_objects("mlflow").__next__()
    finally:
        set_up(store_settings(store))
