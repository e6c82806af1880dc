"""MinIO's buckets and one account per user. Can run at any time: a changed key replaces the one before."""

import json
import logging
from typing import Any
from urllib.parse import urlsplit

from minio import Minio
from minio.commonconfig import ENABLED, GOVERNANCE, Filter
from minio.credentials.providers import StaticProvider
from minio.error import MinioAdminException, S3Error
from minio.lifecycleconfig import Expiration, LifecycleConfig, NoncurrentVersionExpiration, Rule
from minio.minioadmin import MinioAdmin
from minio.objectlockconfig import DAYS, ObjectLockConfig
from minio.versioningconfig import VersioningConfig
from pydantic import SecretStr

from readmission_backup.settings import StoreSettings
from readmission_backup.store import connect, http

log = logging.getLogger(__name__)

_READ = ["s3:GetObject"]
_LIST = ["s3:GetBucketLocation", "s3:ListBucket"]
_PUT = ["s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]
_DELETE = ["s3:DeleteObject"]


def set_up(settings: StoreSettings) -> None:
    """Create the buckets, policies and accounts, or update them to match the settings."""
    client = connect(
        settings.url, settings.root_user, settings.root_password, settings.ca_file, settings.region
    )
    artifacts, backups = settings.artifacts_bucket, settings.backups_bucket
    if not client.bucket_exists(artifacts):
        client.make_bucket(artifacts)
    if not client.bucket_exists(backups):
        client.make_bucket(backups, object_lock=True)
    _lock(client, backups, settings.backups_lock_days)
    admin = MinioAdmin(
        endpoint=urlsplit(settings.url).netloc,
        credentials=StaticProvider(
            settings.root_user.get_secret_value(), settings.root_password.get_secret_value()
        ),
        region=settings.region,
        secure=settings.url.startswith("https"),
        http_client=http(settings.ca_file),
    )
    every = [_allow(_READ, f"{artifacts}/*"), _allow(_LIST, artifacts)]
    listing = _allow(_LIST, backups)
    _account(
        admin,
        "readmission-mlflow",
        [*every, _allow(_PUT + _DELETE, f"{artifacts}/*")],
        settings.mlflow_access,
        settings.mlflow_secret,
    )
    # No account of a backup can delete, nor read or write what is another server's.
    _account(
        admin,
        "readmission-backup-data",
        [listing, _allow(_READ + _PUT, f"{backups}/{settings.data_prefix}/*")],
        settings.data_backup_access,
        settings.data_backup_secret,
    )
    # Reads the artifacts, and cannot write to them: a backup that goes wrong harms no model.
    _account(
        admin,
        "readmission-backup-tracking",
        [listing, _allow(_READ + _PUT, f"{backups}/{settings.tracking_prefix}/*"), *every],
        settings.tracking_backup_access,
        settings.tracking_backup_secret,
    )
    _account(
        admin,
        "readmission-backup-expiry",
        [listing, _allow(_READ + _DELETE, f"{backups}/*")],
        settings.expiry_access,
        settings.expiry_secret,
    )
    _account(
        admin,
        "readmission-backup-copies",
        [listing, _allow(_READ, f"{backups}/*")],
        settings.copies_access,
        settings.copies_secret,
    )
    _remove_others(
        admin,
        {
            settings.mlflow_access,
            settings.data_backup_access,
            settings.tracking_backup_access,
            settings.expiry_access,
            settings.copies_access,
        },
    )


def _remove_others(admin: MinioAdmin, known: set[SecretStr]) -> None:
    """Remove the accounts of earlier access keys: a rotated key must open nothing."""
    wanted = {access.get_secret_value() for access in known}
    for access in json.loads(admin.user_list()):
        if access not in wanted:
            admin.user_remove(access)


def _lock(client: Minio, bucket: str, days: int) -> None:
    """Let the store keep each version of an object for `days`, no matter who replaces or removes it."""
    client.set_bucket_versioning(bucket, VersioningConfig(ENABLED))
    client.set_bucket_lifecycle(
        bucket,
        LifecycleConfig(
            [
                Rule(
                    ENABLED,
                    rule_filter=Filter(prefix=""),
                    rule_id="removed",
                    # MinIO waits for the end of the lock.
                    noncurrent_version_expiration=NoncurrentVersionExpiration(noncurrent_days=days),
                    expiration=Expiration(expired_object_delete_marker=True),
                )
            ]
        ),
    )
    try:
        client.set_object_lock_config(bucket, ObjectLockConfig(GOVERNANCE, days, DAYS))
    except S3Error as error:
        if error.code != "InvalidBucketState":
            raise
        log.warning(
            "the bucket %s was created without object lock: it keeps versions, but MinIO's root can remove "
            "them; a new bucket has the lock (docs/backups.md)",
            bucket,
        )


def _allow(actions: list[str], resource: str) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": actions, "Resource": [f"arn:aws:s3:::{resource}"]}


def _account(
    admin: MinioAdmin, policy: str, statements: list[dict[str, Any]], access: SecretStr, secret: SecretStr
) -> None:
    user = access.get_secret_value()
    admin.policy_add(policy, policy={"Version": "2012-10-17", "Statement": statements})
    admin.user_add(user, secret.get_secret_value())
    try:
        admin.attach_policy([policy], user=user)
    except MinioAdminException as error:
        # MinIO's way to say that it is attached already.
        if "PolicyChangeAlreadyApplied" not in str(error):
            raise
