"""What can go wrong with a backup, each told in one line."""


class BackupError(Exception):
    """A backup or a restore did not come about; the message says why and what to do."""


class BrokenBackupError(BackupError):
    """What lies in the store is not what was written there."""
