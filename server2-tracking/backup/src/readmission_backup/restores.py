"""Restoring backups into empty stores."""

import logging

from minio import Minio
from minio.deleteobjects import DeleteObject

from readmission_backup import mysql
from readmission_backup.backups import catalog_of
from readmission_backup.catalog import Manifest
from readmission_backup.errors import BackupError
from readmission_backup.settings import BackupSettings
from readmission_backup.store import Hashing, checked, put

log = logging.getLogger(__name__)


def restore_mysql(settings: BackupSettings) -> Manifest:
    """Bring back the databases of a backup.

    Every byte is checked before the first statement runs. Databases that hold tables are refused, unless the
    setting `overwrite` says that they are to be replaced.
    """
    catalog = catalog_of(settings, "mysql")
    manifest = catalog.find(settings.restore_from)
    catalog.verify(manifest)
    if mysql.tables(settings, manifest.databases):
        if not settings.overwrite:
            names = ", ".join(manifest.databases)
            raise BackupError(f"{names} hold tables; RESTORE_OVERWRITE=true replaces them")
        mysql.drop(settings, manifest.databases)
    (entry,) = manifest.entries
    packed = checked(catalog.client, catalog.bucket, entry.object, entry.size, entry.sha256)
    mysql.load(settings, mysql.unpacked(packed))
    log.info("mysql backup %s is restored: %s", manifest.name, ", ".join(manifest.databases))
    return manifest


def restore_artifacts(settings: BackupSettings) -> Manifest:
    """Bring back the bucket of the artifacts; the same rules as for databases."""
    if settings.source_bucket is None:
        raise BackupError("READMISSION_BACKUP_SOURCE_BUCKET names no bucket")
    catalog = catalog_of(settings, "artifacts")
    client, target = catalog.client, settings.source_bucket
    manifest = catalog.find(settings.restore_from)
    catalog.verify(manifest)
    if not client.bucket_exists(target):
        client.make_bucket(target)
    if next(iter(client.list_objects(target)), None) is not None:
        if not settings.overwrite:
            raise BackupError(f"the bucket {target} holds objects; RESTORE_OVERWRITE=true replaces them")
        _empty(client, target)
    for entry in manifest.entries:
        stream = Hashing(checked(client, catalog.bucket, entry.object, entry.size, entry.sha256))
        put(client, target, entry.name, stream, entry.size)
    log.info("artifacts backup %s is restored: %d objects", manifest.name, len(manifest.entries))
    return manifest


def _empty(client: Minio, bucket: str) -> None:
    everything = (DeleteObject(str(item.object_name)) for item in client.list_objects(bucket, recursive=True))
    for problem in client.remove_objects(bucket, everything):
        raise BackupError(f"the bucket {bucket} cannot be emptied: {problem.message}")
