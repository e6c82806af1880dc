"""The errors of backups and restores. Each message is one line that the operator can act on."""


class BackupError(Exception):
    """A backup or a restore failed."""


class BrokenBackupError(BackupError):
    """An object in the store differs from what was written."""


class ForgedBackupError(BrokenBackupError):
    """The manifest of a backup is not signed by a key of this server."""
