"""A user who can write to the store must not be able to choose what a restore runs."""

import base64
import gzip
import hashlib
import io
import json

import pyrage
import pytest

from backup.conftest import IDENTITY, SIGNING_KEY, client
from readmission_backup.backups import catalog_of

LATER = "20990101T010000Z"
OTHER_KEY = base64.urlsafe_b64encode(bytes(32)).decode()
STATEMENTS = b"""CREATE DATABASE IF NOT EXISTS RawData; CREATE TABLE RawData.planted (a INT);
-- Dump completed
"""


@pytest.fixture
def made(databases, environment, command):
    """A real backup of a database, which then is lost."""
    databases.query("root", "DROP DATABASE IF EXISTS RawData; CREATE DATABASE RawData")
    databases.query("root", "CREATE TABLE RawData.real_one (a INT)")
    done = command(environment(READMISSION_BACKUP_DATABASES='["RawData"]'), "mysql")
    assert done.returncode == 0, done.stderr
    databases.query("root", "DROP DATABASE RawData")
    yield done.stdout.strip()
    databases.query("root", "DROP DATABASE IF EXISTS RawData")


def write(store, name, data):
    client(store, "backup").put_object("backups", name, io.BytesIO(data), len(data))


def forge(store, folder, signature, recipient=None):
    """Write a dump of one's own and a manifest that fits it; `signature` makes the manifest's last line."""
    dump = gzip.compress(STATEMENTS)
    if recipient:
        dump = pyrage.encrypt(dump, [recipient])
    target = f"{folder}{LATER}/dump.sql.gz.age"
    write(store, target, dump)
    entry = {"name": "dump.sql.gz", "object": target, "size": len(dump), "etag": ""}
    manifest = {
        "prefix": folder.split("/")[0], "kind": "mysql", "name": LATER, "recipient": str(recipient),
        "entries": [{**entry, "sha256": hashlib.sha256(dump).hexdigest()}],
        "databases": ["RawData"], "format": 2,
    }  # fmt: skip
    text = json.dumps(manifest).encode()
    write(store, f"{folder}{LATER}/manifest.json", text + signature(text))


def no_signature(_text):
    return b""


def own_signature(text):
    digest = hashlib.sha256(text).hexdigest()
    return b"\n" + digest.encode() + b"\n"


@pytest.mark.parametrize("signature", [no_signature, own_signature])
def test_a_forged_backup_is_refused_and_the_real_one_restored(
    signature, made, environment, command, store, settings, databases
):
    # The public key of the backups is no secret: a forger encrypts for it, too.
    forge(store, catalog_of(settings(), "mysql").folder, signature, IDENTITY.to_public())
    listed = dict(
        line.removeprefix("mysql ").split(": ", 1)
        for line in command(environment(), "list").stdout.splitlines()
    )
    assert listed[LATER].startswith("REFUSED: ")
    assert listed[made].endswith(" bytes")
    for name in ("verify", "restore"):
        done = command(environment("root", RESTORE_FROM=LATER), name)
        assert done.returncode == 1
        assert f"the backup {LATER} is not signed by a key of this server" in done.stderr
    assert databases.query("root", "SHOW DATABASES LIKE 'RawData'") == ""
    assert command(environment("root"), "restore").returncode == 0
    assert databases.query("root", "SHOW TABLES IN RawData").split() == ["real_one"]


def test_a_backup_under_another_name_is_refused(made, environment, command, store, settings):
    """An old backup, with its good signature, must not return as the latest one."""
    catalog = catalog_of(settings(), "mysql")
    text = catalog.client.get_object("backups", catalog.place(made, "manifest.json")).read()
    write(store, catalog.place(LATER, "manifest.json"), text)
    done = command(environment(RESTORE_FROM=LATER), "verify")
    assert (done.returncode, f"is a copy of {catalog.folder}{made}" in done.stderr) == (1, True)
    assert f"mysql {made}: every byte" in command(environment(), "verify").stdout
    # Nor that of another server with the same key.
    other = environment(READMISSION_BACKUP_PREFIX="test-another-server")
    write(store, f"test-another-server/mysql/{made}/manifest.json", text)
    assert "is a copy of" in command(other | {"RESTORE_FROM": made}, "verify").stderr


def test_a_changed_manifest_is_refused(made, environment, command, store, settings):
    catalog = catalog_of(settings(), "mysql")
    target = catalog.place(made, "manifest.json")
    text = catalog.client.get_object("backups", target).read()
    write(store, target, text.replace(b'"RawData"', b'"CleanData"'))
    done = command(environment("root"), "restore")
    assert (done.returncode, "no complete backup" in done.stderr) == (1, True)
    # And its objects stay: with the right key the backup counts again.
    assert command(environment(READMISSION_BACKUP_DATABASES='["mysql"]'), "mysql").returncode == 1
    write(store, target, text)
    assert command(environment(), "verify").returncode == 0


def test_a_new_key_signs_and_the_old_one_still_counts(made, environment, command):
    both = {"READMISSION_BACKUP_SIGNING_KEYS": f"{OTHER_KEY},{SIGNING_KEY}"}
    assert made in command(environment(**both), "verify").stdout
    done = command(environment(READMISSION_BACKUP_SIGNING_KEYS=OTHER_KEY), "verify")
    assert (done.returncode, "no complete backup" in done.stderr) == (1, True)


@pytest.mark.usefixtures("made")
def test_what_leaves_the_node_is_encrypted(environment, command, settings):
    catalog = catalog_of(settings(), "mysql")
    (entry,) = next(catalog.whole()).entries
    data = catalog.client.get_object("backups", entry.object).read()
    assert data.startswith(b"age-encryption.org/v1\n")
    assert b"real_one" in gzip.decompress(pyrage.decrypt(data, [IDENTITY]))
    with pytest.raises(pyrage.DecryptError):
        pyrage.decrypt(data, [pyrage.x25519.Identity.generate()])
    done = command(environment(READMISSION_BACKUP_RECIPIENT=""), "mysql")
    assert (done.returncode, "no backup leaves the node unencrypted" in done.stderr) == (1, True)


@pytest.mark.usefixtures("made")
def test_the_wrong_private_key_is_noticed_before_a_database_is_dropped(environment, command, databases):
    databases.query("root", "CREATE DATABASE RawData; CREATE TABLE RawData.kept (a INT)")
    wrong = str(pyrage.x25519.Identity.generate())
    given = environment("root", RESTORE_OVERWRITE="true")
    done = command(given | {"READMISSION_BACKUP_IDENTITIES": wrong}, "restore")
    assert (done.returncode, "READMISSION_BACKUP_IDENTITIES" in done.stderr) == (1, True)
    assert databases.query("root", "SHOW TABLES IN RawData").split() == ["kept"]
    # After a rotation the newest key is first, and the one before still decrypts.
    both = f"{wrong},{IDENTITY}"
    done = command(given | {"READMISSION_BACKUP_IDENTITIES": both}, "restore")
    assert done.returncode == 0, done.stderr
    assert databases.query("root", "SHOW TABLES IN RawData").split() == ["real_one"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("READMISSION_BACKUP_SIGNING_KEYS", "c2hvcnQ="),
        ("READMISSION_BACKUP_SIGNING_KEYS", "no base64!"),
        ("READMISSION_BACKUP_IDENTITIES", "AGE-SECRET-KEY-1NONE"),
        ("READMISSION_BACKUP_RECIPIENT", "age1none"),
    ],
)
def test_a_wrong_key_is_named_and_not_shown(name, value, environment, command):
    done = command(environment("root", **{name: value}), "mysql" if "RECIP" in name else "restore")
    assert (done.returncode, name in done.stderr, value in done.stderr) == (1, True, False)
    assert "Traceback" not in done.stderr
