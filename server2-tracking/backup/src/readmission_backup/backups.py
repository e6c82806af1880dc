"""Making backups."""

import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from minio import Minio
from minio.error import S3Error

from readmission_backup import mysql
from readmission_backup.catalog import KINDS, Catalog, Entry, Kind, Manifest
from readmission_backup.encryption import encrypted, public_key
from readmission_backup.errors import BackupError, BrokenBackupError
from readmission_backup.settings import BackupSettings
from readmission_backup.signatures import keyed_name, signing_keys
from readmission_backup.store import PART, Hashing, checked, chunks, connect, need, put

log = logging.getLogger(__name__)

_CHANGED: Final = ("PreconditionFailed", "NoSuchKey")


def client_of(settings: BackupSettings) -> Minio:
    """Return the client of the store that holds the backups."""
    return connect(
        settings.store_url, settings.access_key, settings.secret_key, settings.ca_file, settings.region
    )


def catalog_of(settings: BackupSettings, kind: Kind) -> Catalog:
    """Return the backups of one kind; raise `BackupError` if their bucket is missing."""
    client = client_of(settings)
    need(client, settings.bucket)
    if settings.signing_keys is None:
        raise BackupError("READMISSION_BACKUP_SIGNING_KEYS is not set; it signs backups and checks them")
    return Catalog(client, settings.bucket, settings.prefix, kind, signing_keys(settings.signing_keys))


def source_of(settings: BackupSettings) -> str:
    """Return the bucket of the artifacts; raise `BackupError` if it is not set."""
    if settings.source_bucket is None:
        raise BackupError("READMISSION_BACKUP_SOURCE_BUCKET is not set")
    return settings.source_bucket


def recipient_of(settings: BackupSettings) -> str:
    """Return the public key that encrypts backups; raise `BackupError` if it is not set."""
    if settings.recipient is None:
        raise BackupError("READMISSION_BACKUP_RECIPIENT is not set; no backup leaves the node unencrypted")
    return settings.recipient


def back_up_mysql(settings: BackupSettings) -> Manifest:
    """Dump the databases into the store as one consistent snapshot."""
    if not settings.databases:
        raise BackupError("READMISSION_BACKUP_DATABASES is empty")
    recipient = recipient_of(settings)
    catalog = catalog_of(settings, "mysql")
    name = catalog.new_name()
    target = catalog.place(name, "dump.sql.gz.age")
    stream = Hashing(encrypted(mysql.dump(settings), public_key(recipient)))
    # The parts of an upload that does not come to its end never become an object.
    put(catalog.client, settings.bucket, target, stream)
    entry = Entry("dump.sql.gz", target, stream.size, stream.sha256)
    manifest = Manifest(settings.prefix, "mysql", name, recipient, (entry,), settings.databases)
    return _publish(catalog, manifest)


def back_up_artifacts(settings: BackupSettings) -> Manifest:
    """Copy the new objects of the artifacts' bucket."""
    source, recipient = source_of(settings), recipient_of(settings)
    catalog = catalog_of(settings, "artifacts")
    need(catalog.client, source)
    name = catalog.new_name()
    # An object for another recipient is encrypted again: its key may be gone before this backup is.
    known = next((one for one in catalog.whole() if one.recipient == recipient), None)
    before = known.entries if known else ()
    same = {(entry.name, entry.etag): entry for entry in before}
    stored = {entry.object: entry for entry in before}
    entries = []
    for item in catalog.client.list_objects(source, recursive=True):
        key, etag = str(item.object_name), str(item.etag)
        entry = same.get((key, etag)) or _copy(catalog, source, key, etag, recipient, stored)
        stored[entry.object] = entry
        entries.append(entry)
    return _publish(catalog, Manifest(settings.prefix, "artifacts", name, recipient, tuple(entries)))


def _copy(
    catalog: Catalog, source: str, key: str, etag: str, recipient: str, stored: dict[str, Entry]
) -> Entry:
    """Hash an artifact, and store it under its keyed hash unless it is already there."""
    client = catalog.client
    try:
        plain = Hashing(chunks(client, source, key, etag))
        while plain.read(PART):
            pass
        target = f"{catalog.folder}objects/{keyed_name(catalog.keys, recipient, plain.sha256)}"
        if (known := stored.get(target)) is not None:
            return replace(known, name=key, etag=etag)
        again = checked(client, source, key, plain.size, plain.sha256)
        stream = Hashing(encrypted(again, public_key(recipient)))
        put(client, catalog.bucket, target, stream)
    except (BrokenBackupError, S3Error) as error:
        if isinstance(error, S3Error) and error.code not in _CHANGED:
            raise
        raise BackupError(f"the artifact {key} changed while it was copied; run the backup again") from error
    return Entry(key, target, stream.size, stream.sha256, etag)


def _publish(catalog: Catalog, manifest: Manifest) -> Manifest:
    catalog.publish(manifest)
    size = sum(entry.size for entry in manifest.entries)
    log.info("%s backup %s: %d objects, %d bytes", catalog.kind, manifest.name, len(manifest.entries), size)
    return manifest


def expire(settings: BackupSettings) -> None:
    """Remove the expired backups of all servers. It needs an account that may delete, and no key."""
    client = client_of(settings)
    need(client, settings.bucket)
    for prefix in settings.expire_prefixes:
        for kind in KINDS:
            catalog = Catalog(client, settings.bucket, prefix, kind, keys=())
            for name in catalog.expire(
                datetime.now(UTC),
                timedelta(days=settings.retention_days),
                timedelta(hours=settings.unfinished_hours),
            ):
                log.info("%s backup %s of %s is too old and was removed", kind, name, prefix)
