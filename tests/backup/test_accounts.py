"""What each account of the store may do, and what is left when somebody abuses it."""

import io
import os
import shutil
import subprocess

import pytest
from minio.error import S3Error

from backup.conftest import KEYS, client, store_settings
from backup.support import minio
from readmission_backup.accounts import set_up
from readmission_backup.backups import catalog_of

DENIED = "Access Denied"


@pytest.fixture
def made(databases, environment, command):
    """A backup of a database."""
    databases.query("root", "DROP DATABASE IF EXISTS RawData; CREATE DATABASE RawData")
    databases.query("root", "CREATE TABLE RawData.real_one (a INT)")
    done = command(environment(READMISSION_BACKUP_DATABASES='["RawData"]'), "mysql")
    assert done.returncode == 0, done.stderr
    yield done.stdout.strip()
    databases.query("root", "DROP DATABASE IF EXISTS RawData")


@pytest.fixture
def target(made, settings):
    """The dump of that backup in the bucket."""
    (entry,) = catalog_of(settings(), "mysql").read(made).entries
    return entry.object


def versions(store, name):
    """Return the versions of an object, the newest first, without delete markers."""
    found = client(store, "root").list_objects("backups", name, include_version=True)
    return [item.version_id for item in found if item.object_name == name and not item.is_delete_marker]


def test_a_stolen_backup_account_deletes_nothing_and_sees_no_other_server(target, store):
    thief, other = client(store, "backup"), client(store, "data-backup")
    (version,) = versions(store, target)
    for given in ({}, {"version_id": version}):
        with pytest.raises(S3Error, match=DENIED):
            thief.remove_object("backups", target, **given)
    for attempt in (
        lambda: other.get_object("backups", target),
        lambda: other.put_object("backups", target, io.BytesIO(b"x"), 1),
        lambda: other.get_object("mlflow", "any"),
        lambda: thief.put_object("backups", "server1-data/mysql/planted", io.BytesIO(b"x"), 1),
        lambda: thief.put_object("mlflow", "planted", io.BytesIO(b"x"), 1),
    ):
        with pytest.raises(S3Error, match=DENIED):
            attempt()
    other.put_object("backups", "server1-data/mysql/own", io.BytesIO(b"x"), 1)


def test_what_is_overwritten_or_removed_is_still_there(target, store, environment, command):
    """With the right to write, or to remove what expired, nobody destroys a backup before its time."""
    (version,) = versions(store, target)
    good = client(store, "root").get_object("backups", target).read()
    client(store, "backup").put_object("backups", target, io.BytesIO(b"ransom"), 6)
    client(store, "expiry").remove_object("backups", target)
    assert "BROKEN" in command(environment(), "list").stdout
    for user in ("expiry", "root"):
        with pytest.raises(S3Error, match="WORM protected"):
            client(store, user).remove_object("backups", target, version_id=version)
    assert version in versions(store, target)
    # The way back of docs/backups.md: the good version becomes the latest one again.
    assert client(store, "root").get_object("backups", target, version_id=version).read() == good
    client(store, "root").put_object("backups", target, io.BytesIO(good), len(good))
    assert "every byte is as it was written" in command(environment("root"), "verify").stdout


def test_a_bucket_from_before_keeps_versions(tmp_path, caplog):
    with minio.running(tmp_path / "store") as old:
        root = client(old, "root")
        root.make_bucket("backups")
        set_up(store_settings(old))
        set_up(store_settings(old))
        assert root.get_bucket_versioning("backups").status == "Enabled"
        assert "was created without object lock" in caplog.text


def rclone(*words, **remotes):
    """Run rclone with remotes of S3, each given as the store, the access key and the secret key."""
    program = shutil.which("rclone")
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("rclone is missing; .ci/system-parts installs it", pytrace=False)
        pytest.skip("rclone is missing")
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}
    for name, (store, access, secret) in remotes.items():
        values = {
            "TYPE": "s3", "PROVIDER": "Minio", "ENDPOINT": store.url, "REGION": "us-east-1",
            "ACCESS_KEY_ID": access, "SECRET_ACCESS_KEY": secret, "NO_CHECK_BUCKET": "true",
        }  # fmt: skip
        environment |= {f"RCLONE_CONFIG_{name.upper()}_{key}": value for key, value in values.items()}
    return subprocess.run(
        [program, "--quiet", "--retries=1", *map(str, words)],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_a_copy_in_another_building_restores_after_the_loss_of_the_store(
    made, target, store, environment, command, tmp_path, databases
):
    copies = (store, *KEYS["copies"])
    folder = tmp_path / "copy"
    pull = ("copy", "--immutable", "site:backups", folder)
    done = rclone(*pull, site=copies)
    assert done.returncode == 0, done.stderr
    # Neither a removal nor a replacement in the store reaches the copy.
    good = (folder / target).read_bytes()
    client(store, "backup").put_object("backups", target, io.BytesIO(b"ransom"), 6)
    assert rclone(*pull, site=copies).returncode != 0
    client(store, "expiry").remove_object("backups", target)
    assert rclone(*pull, site=copies).returncode == 0
    assert (folder / target).read_bytes() == good
    with pytest.raises(S3Error, match=DENIED):
        client(store, "copies").put_object("backups", target, io.BytesIO(b"x"), 1)
    with minio.running(tmp_path / "new") as new:
        set_up(store_settings(new))
        root = (new, new.root, new.password)
        done = rclone(
            "copy", folder / target.split("/")[0], f"site:backups/{target.split('/')[0]}", site=root
        )
        assert done.returncode == 0, done.stderr
        databases.query("root", "DROP DATABASE RawData")
        given = environment(
            "root",
            READMISSION_BACKUP_STORE_URL=new.url,
            AWS_ACCESS_KEY_ID=new.root,
            AWS_SECRET_ACCESS_KEY=new.password,
            RESTORE_FROM=made,
        )
        done = command(given, "restore")
        assert done.returncode == 0, done.stderr
    assert databases.query("root", "SHOW TABLES IN RawData").split() == ["real_one"]
