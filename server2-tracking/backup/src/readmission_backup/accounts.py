"""MinIO's buckets and one account per user. Can run at any time: a changed key replaces the one before."""

import json
from typing import Any
from urllib.parse import urlsplit

from minio.credentials.providers import StaticProvider
from minio.error import MinioAdminException
from minio.minioadmin import MinioAdmin
from pydantic import SecretStr

from readmission_backup.settings import StoreSettings
from readmission_backup.store import connect, http

_READ = ["s3:GetObject", "s3:GetBucketLocation", "s3:ListBucket"]
_WRITE = ["s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]


def set_up(settings: StoreSettings) -> None:
    """Create the buckets, policies and accounts, or update them to match the settings."""
    client = connect(
        settings.url, settings.root_user, settings.root_password, settings.ca_file, settings.region
    )
    for bucket in (settings.artifacts_bucket, settings.backups_bucket):
        if not client.bucket_exists(bucket):
            client.make_bucket(bucket)
    admin = MinioAdmin(
        endpoint=urlsplit(settings.url).netloc,
        credentials=StaticProvider(
            settings.root_user.get_secret_value(), settings.root_password.get_secret_value()
        ),
        region=settings.region,
        secure=settings.url.startswith("https"),
        http_client=http(settings.ca_file),
    )
    artifacts, backups = settings.artifacts_bucket, settings.backups_bucket
    _account(
        admin,
        "readmission-mlflow",
        [_allow(_READ + _WRITE, artifacts)],
        settings.mlflow_access.get_secret_value(),
        settings.mlflow_secret.get_secret_value(),
    )
    # Reads the artifacts, and cannot write to them: a backup that goes wrong harms no model.
    _account(
        admin,
        "readmission-backup",
        [_allow(_READ, artifacts), _allow(_READ + _WRITE, backups)],
        settings.backup_access.get_secret_value(),
        settings.backup_secret.get_secret_value(),
    )
    _remove_others(admin, {settings.mlflow_access, settings.backup_access})


def _remove_others(admin: MinioAdmin, known: set[SecretStr]) -> None:
    """Remove the accounts of earlier access keys: a rotated key must open nothing."""
    wanted = {access.get_secret_value() for access in known}
    for access in json.loads(admin.user_list()):
        if access not in wanted:
            admin.user_remove(access)


def _allow(actions: list[str], bucket: str) -> dict[str, Any]:
    return {
        "Effect": "Allow",
        "Action": actions,
        "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
    }


def _account(
    admin: MinioAdmin, policy: str, statements: list[dict[str, Any]], access: str, secret: str
) -> None:
    admin.policy_add(policy, policy={"Version": "2012-10-17", "Statement": statements})
    admin.user_add(access, secret)
    try:
        admin.attach_policy([policy], user=access)
    except MinioAdminException as error:
        # MinIO's way to say that it is attached already.
        if "PolicyChangeAlreadyApplied" not in str(error):
            raise
