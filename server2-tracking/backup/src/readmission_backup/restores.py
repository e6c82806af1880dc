"""Restoring backups into empty stores."""

import logging
from collections.abc import Sequence

from minio import Minio
from minio.deleteobjects import DeleteObject
from pyrage.x25519 import Identity

from readmission_backup import mysql
from readmission_backup.backups import catalog_of, source_of
from readmission_backup.catalog import Catalog, Kind, Manifest
from readmission_backup.encryption import private_keys
from readmission_backup.errors import BackupError
from readmission_backup.settings import BackupSettings
from readmission_backup.store import Hashing, put

log = logging.getLogger(__name__)

Backup = tuple[Catalog, Manifest]


def choose(settings: BackupSettings, kinds: Sequence[Kind]) -> list[Backup]:
    """Return the backups that a restore of these kinds takes, databases first; raise `BackupError`.

    Artifacts are copied after the databases that name them. So a dump goes with the first whole copy made at
    or after it, a name is that of a dump, and `latest` is the newest whole dump that has such a copy.
    """
    if not kinds:
        raise BackupError("set READMISSION_BACKUP_DATABASES or READMISSION_BACKUP_SOURCE_BUCKET")
    catalogs = [catalog_of(settings, kind) for kind in kinds]
    name = settings.restore_from
    if len(catalogs) == 1:
        return [(catalog, catalog.find(name)) for catalog in catalogs]
    dumps, artifacts = catalogs
    copies = list(artifacts.whole())
    for dump in dumps.whole() if name == "latest" else (dumps.find(name),):
        if later := [copy for copy in copies if copy.name >= dump.name]:
            return [(dumps, dump), (artifacts, later[-1])]
    raise BackupError(
        f"no complete backup in {artifacts.bucket}/{artifacts.folder} at or after "
        f"{'one' if name == 'latest' else name} in {dumps.folder}"
    )


def restore(settings: BackupSettings, kinds: Sequence[Kind]) -> None:
    """Bring back the backups of these kinds.

    Every byte is checked and decrypted before the first is written. Databases that hold tables and a bucket
    that holds objects are refused, unless the setting `overwrite` says that they are to be replaced.
    """
    if settings.identities is None:
        raise BackupError("READMISSION_BACKUP_IDENTITIES is not set; nothing else decrypts a backup")
    identities = private_keys(settings.identities)
    backups = choose(settings, kinds)
    for catalog, manifest in backups:
        catalog.verify(manifest, identities)
    for catalog, manifest in backups:
        if not settings.overwrite and (held := _held(settings, catalog.client, manifest)):
            raise BackupError(f"{held}; RESTORE_OVERWRITE=true replaces them")
    for catalog, manifest in backups:
        if manifest.kind == "mysql":
            _load(settings, catalog, manifest, identities)
        else:
            _fill(settings, catalog, manifest, identities)


def _held(settings: BackupSettings, client: Minio, manifest: Manifest) -> str:
    """Return what the target of a restore already contains; an empty string if nothing."""
    if manifest.kind == "mysql":
        full = mysql.tables(settings, manifest.databases) > 0
        return f"{', '.join(manifest.databases)} hold tables" if full else ""
    target = source_of(settings)
    full = client.bucket_exists(target) and next(iter(client.list_objects(target)), None) is not None
    return f"the bucket {target} holds objects" if full else ""


def _load(
    settings: BackupSettings, catalog: Catalog, manifest: Manifest, identities: Sequence[Identity]
) -> None:
    # Erased patients must not come back: what says who they are is newer than the backup.
    mysql.keep_rows(settings)
    if settings.overwrite:
        mysql.drop(settings, manifest.databases)
    (entry,) = manifest.entries
    mysql.load(settings, mysql.unpacked(catalog.content(entry, identities)))
    mysql.return_rows(settings)
    log.info("mysql backup %s is restored: %s", manifest.name, ", ".join(manifest.databases))


def _fill(
    settings: BackupSettings, catalog: Catalog, manifest: Manifest, identities: Sequence[Identity]
) -> None:
    client, target = catalog.client, source_of(settings)
    if not client.bucket_exists(target):
        client.make_bucket(target)
    if settings.overwrite:
        _empty(client, target)
    for entry in manifest.entries:
        put(client, target, entry.name, Hashing(catalog.content(entry, identities)))
    log.info("artifacts backup %s is restored: %d objects", manifest.name, len(manifest.entries))


def _empty(client: Minio, bucket: str) -> None:
    everything = (DeleteObject(str(item.object_name)) for item in client.list_objects(bucket, recursive=True))
    for problem in client.remove_objects(bucket, everything):
        raise BackupError(f"the bucket {bucket} cannot be emptied: {problem.message}")
