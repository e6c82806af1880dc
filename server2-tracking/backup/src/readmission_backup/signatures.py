"""Signatures of manifests: HMAC-SHA-256 by keys that the object store never sees."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from typing import Final

from pydantic import SecretStr

from readmission_backup.errors import BackupError, ForgedBackupError

_KEY_BYTES: Final = 32


def signing_keys(text: SecretStr) -> tuple[bytes, ...]:
    """Return the keys of a setting, base64 and separated by commas; raise `BackupError`."""
    try:
        keys = tuple(
            base64.b64decode(key, b"-_", validate=True) for key in text.get_secret_value().split(",")
        )
    except binascii.Error:
        keys = ()
    if not keys or any(len(key) < _KEY_BYTES for key in keys):
        raise BackupError(
            f"READMISSION_BACKUP_SIGNING_KEYS: each key is base64 of at least {_KEY_BYTES} bytes"
        )
    return keys


def signed(text: bytes, keys: Sequence[bytes]) -> bytes:
    """Return `text` and, on a line of its own, its signature by the first key."""
    return text + b"\n" + _signature(text, keys[0]) + b"\n"


def unsigned(text: bytes) -> bytes:
    """Return a signed text without its signature, which is not checked."""
    return text.removesuffix(b"\n").rpartition(b"\n")[0]


def checked_text(text: bytes, keys: Sequence[bytes], name: str) -> bytes:
    """Return a signed text without its signature; raise `ForgedBackupError` if no key made the signature."""
    body = unsigned(text)
    signature = text.removesuffix(b"\n").rpartition(b"\n")[2]
    if not any(hmac.compare_digest(_signature(body, key), signature) for key in keys):
        raise ForgedBackupError(
            f"the backup {name} is not signed by a key of this server (READMISSION_BACKUP_SIGNING_KEYS); "
            "somebody else wrote it, or the key is gone"
        )
    return body


def keyed_name(keys: Sequence[bytes], *parts: str) -> str:
    """Return a name that says nothing about `parts` without the first key, in hexadecimal."""
    return hmac.new(keys[0], "\0".join(("name", *parts)).encode(), hashlib.sha256).hexdigest()


def _signature(text: bytes, key: bytes) -> bytes:
    return hmac.new(key, text, hashlib.sha256).hexdigest().encode()
