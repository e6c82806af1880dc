"""The settings of backups and restores, read once when a process starts."""

from pathlib import Path
from typing import Annotated

from pydantic import AliasChoices, Field, SecretStr, StringConstraints
from pydantic_settings import BaseSettings, SettingsConfigDict

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_]+$")]
QualifiedName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_]+\.[A-Za-z0-9_]+$")]
Folder = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+$")]


class BackupSettings(BaseSettings):
    """The settings of backups and restores.

    Each field is an environment variable with the prefix `READMISSION_BACKUP_`; the keys of the object store
    and what a restore is asked for have names of their own.
    """

    model_config = SettingsConfigDict(
        env_prefix="READMISSION_BACKUP_", env_ignore_empty=True, frozen=True, hide_input_in_errors=True
    )

    store_url: str = Field(pattern=r"^https?://[^/]+$", description="Address of the S3 store, without a path")
    access_key: SecretStr = Field(validation_alias="AWS_ACCESS_KEY_ID", description="Account of the S3 store")
    secret_key: SecretStr = Field(validation_alias="AWS_SECRET_ACCESS_KEY", description="Its secret key")
    ca_file: Path | None = Field(default=None, description="CA that signed the store's certificate")
    region: str = Field(default="us-east-1", description="Region of the buckets; MinIO's own by default")

    signing_keys: SecretStr | None = Field(
        default=None,
        description="Keys of the manifests' signatures, base64 of 32 bytes each, separated by commas: "
        "the first one signs, all are accepted",
    )
    recipient: str | None = Field(
        default=None, pattern=r"^age1[0-9a-z]+$", description="Public key of age that encrypts backups"
    )
    identities: SecretStr | None = Field(
        default=None, description="Private keys of age that decrypt backups, separated by commas"
    )

    bucket: str = Field(default="backups", description="Bucket that holds the backups")
    prefix: Folder = Field(description="Folder of this server in it")
    expire_prefixes: tuple[Folder, ...] = Field(
        default=(), description="Folders whose old backups `expire` removes, as a JSON list"
    )
    retention_days: int = Field(default=14, ge=1, description="Age at which a backup is removed")
    unfinished_hours: int = Field(
        default=24, ge=0, description="Age at which what an interrupted backup left is removed"
    )

    mysql_host: str = Field(default="127.0.0.1", description="Host of MySQL")
    mysql_port: int = Field(default=3306, ge=1, le=65535, description="Port of MySQL")
    mysql_user: str = Field(default="backup", description="User of MySQL; a restore needs root")
    mysql_password: SecretStr = Field(default=SecretStr(""), description="Its password")
    databases: tuple[Name, ...] = Field(default=(), description="Databases to back up, as a JSON list")

    kept_tables: tuple[QualifiedName, ...] = Field(
        default=(), description="Tables whose rows a restore adds to those of the backup, as a JSON list"
    )

    source_bucket: str | None = Field(default=None, description="Bucket of the artifacts to back up")

    restore_from: str = Field(
        default="latest",
        pattern=r"^(latest|[0-9]{8}T[0-9]{6}Z)$",
        validation_alias=AliasChoices("RESTORE_FROM"),
        description="Backup to restore, by its name (a dump's, where artifacts go with it); or `latest`",
    )
    overwrite: bool = Field(
        default=False,
        validation_alias=AliasChoices("RESTORE_OVERWRITE"),
        description="Replace databases and buckets that hold something",
    )


class StoreSettings(BaseSettings):
    """The settings of the object store's set-up, with the prefix `READMISSION_STORE_`."""

    model_config = SettingsConfigDict(env_prefix="READMISSION_STORE_", frozen=True, hide_input_in_errors=True)

    url: str = Field(pattern=r"^https?://[^/]+$", description="Address of MinIO")
    ca_file: Path | None = Field(default=None, description="CA that signed its certificate")
    region: str = Field(default="us-east-1", description="Region of the buckets")
    root_user: SecretStr = Field(description="MinIO's root")
    root_password: SecretStr = Field(description="Its password")
    artifacts_bucket: str = Field(default="mlflow", description="Bucket of MLflow's artifacts")
    backups_bucket: str = Field(default="backups", description="Bucket of the backups")
    mlflow_access: SecretStr = Field(description="MLflow's account")
    mlflow_secret: SecretStr = Field(description="Its secret key")
    backups_lock_days: int = Field(
        default=14, ge=1, description="Days for which the store keeps each version of a backup's objects"
    )
    data_prefix: str = Field(default="server1-data", description="Folder of server 1's backups")
    tracking_prefix: str = Field(default="server2-tracking", description="Folder of server 2's backups")
    data_backup_access: SecretStr = Field(description="Account of server 1's backups")
    data_backup_secret: SecretStr = Field(description="Its secret key")
    tracking_backup_access: SecretStr = Field(description="Account of server 2's backups")
    tracking_backup_secret: SecretStr = Field(description="Its secret key")
    expiry_access: SecretStr = Field(description="Account that removes expired backups")
    expiry_secret: SecretStr = Field(description="Its secret key")
    copies_access: SecretStr = Field(description="Account that copies the backups to another building")
    copies_secret: SecretStr = Field(description="Its secret key")
