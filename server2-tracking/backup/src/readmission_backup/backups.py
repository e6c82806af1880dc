"""Making backups."""

import logging
from datetime import UTC, datetime, timedelta
from typing import Final

from minio import Minio
from minio.error import S3Error

from readmission_backup import mysql
from readmission_backup.catalog import Catalog, Entry, Kind, Manifest
from readmission_backup.errors import BackupError, BrokenBackupError
from readmission_backup.settings import BackupSettings
from readmission_backup.store import PART, Hashing, checked, chunks, connect, need, put, sizes

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
    return Catalog(client, settings.bucket, settings.prefix, kind)


def source_of(settings: BackupSettings) -> str:
    """Return the bucket of the artifacts; raise `BackupError` if it is not set."""
    if settings.source_bucket is None:
        raise BackupError("READMISSION_BACKUP_SOURCE_BUCKET is not set")
    return settings.source_bucket


def back_up_mysql(settings: BackupSettings) -> Manifest:
    """Dump the databases into the store as one consistent snapshot, then remove expired backups."""
    if not settings.databases:
        raise BackupError("READMISSION_BACKUP_DATABASES is empty")
    catalog = catalog_of(settings, "mysql")
    name = catalog.new_name()
    target = catalog.place(name, "dump.sql.gz")
    stream = Hashing(mysql.dump(settings))
    # The parts of an upload that does not come to its end never become an object.
    put(catalog.client, settings.bucket, target, stream)
    entry = Entry("dump.sql.gz", target, stream.size, stream.sha256)
    return _publish(catalog, Manifest("mysql", name, (entry,), settings.databases), settings)


def back_up_artifacts(settings: BackupSettings) -> Manifest:
    """Copy the new objects of the artifacts' bucket, then remove expired backups."""
    source = source_of(settings)
    catalog = catalog_of(settings, "artifacts")
    client = catalog.client
    need(client, source)
    name = catalog.new_name()
    known = next(catalog.whole(), None)
    before = {(entry.name, entry.etag): entry for entry in (known.entries if known else ())}
    there = sizes(client, settings.bucket, f"{catalog.folder}objects/")
    entries = []
    for item in client.list_objects(source, recursive=True):
        key, etag = str(item.object_name), str(item.etag)
        if (entry := before.get((key, etag))) is None:
            entry = _copy(catalog, source, key, etag, there)
        entries.append(entry)
    return _publish(catalog, Manifest("artifacts", name, tuple(entries)), settings)


def _copy(catalog: Catalog, source: str, key: str, etag: str, there: dict[str, int]) -> Entry:
    """Hash an artifact, and store it under its hash unless it is already there."""
    client = catalog.client
    try:
        stream = Hashing(chunks(client, source, key, etag))
        while stream.read(PART):
            pass
        target = f"{catalog.folder}objects/{stream.sha256}"
        if there.get(target) != stream.size:
            again = Hashing(checked(client, source, key, stream.size, stream.sha256))
            put(client, catalog.bucket, target, again, stream.size)
            there[target] = stream.size
    except (BrokenBackupError, S3Error) as error:
        if isinstance(error, S3Error) and error.code not in _CHANGED:
            raise
        raise BackupError(f"the artifact {key} changed while it was copied; run the backup again") from error
    return Entry(key, target, stream.size, stream.sha256, etag)


def _publish(catalog: Catalog, manifest: Manifest, settings: BackupSettings) -> Manifest:
    catalog.publish(manifest)
    size = sum(entry.size for entry in manifest.entries)
    log.info("%s backup %s: %d objects, %d bytes", catalog.kind, manifest.name, len(manifest.entries), size)
    for name in catalog.prune(
        datetime.now(UTC),
        timedelta(days=settings.retention_days),
        timedelta(hours=settings.unfinished_hours),
    ):
        log.info("%s backup %s is too old and was removed", catalog.kind, name)
    return manifest
