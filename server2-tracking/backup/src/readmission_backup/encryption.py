"""Encryption with age (https://age-encryption.org): streams in bounded memory."""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from io import BufferedIOBase
from typing import Final, cast

import pyrage
from pydantic import SecretStr

from readmission_backup.errors import BackupError

_CHUNK: Final = 64 * 1024


def public_key(text: str) -> pyrage.x25519.Recipient:
    """Return the key that encrypts, from `age1…`; raise `BackupError`."""
    try:
        return pyrage.x25519.Recipient.from_str(text)
    except pyrage.RecipientError as error:
        raise BackupError("READMISSION_BACKUP_RECIPIENT is not a public key of age (age1…)") from error


def private_keys(text: SecretStr) -> list[pyrage.x25519.Identity]:
    """Return the keys that decrypt, from `AGE-SECRET-KEY-1…` separated by commas; raise `BackupError`."""
    try:
        return [pyrage.x25519.Identity.from_str(key) for key in text.get_secret_value().split(",")]
    except pyrage.IdentityError:
        # Without the cause, which might quote the key.
        raise BackupError("READMISSION_BACKUP_IDENTITIES holds an invalid key (AGE-SECRET-KEY-1…)") from None


def encrypted(source: Iterator[bytes], recipient: pyrage.x25519.Recipient) -> Iterator[bytes]:
    """Yield `source` encrypted as one age file; raise whatever `source` raises, before the last bytes."""
    return _through(source, lambda reader, writer: pyrage.encrypt_io(reader, writer, [recipient]))


def decrypted(source: Iterator[bytes], identities: Sequence[pyrage.x25519.Identity]) -> Iterator[bytes]:
    """Yield the content of an age file; raise `BackupError` if none of the keys opens it."""
    return _through(source, lambda reader, writer: pyrage.decrypt_io(reader, writer, list(identities)))


class _Reader(BufferedIOBase):
    """The file that age reads. It keeps what the source raises, which age would report as an I/O error."""

    def __init__(self, source: Iterator[bytes]) -> None:
        self._source = source
        self._rest = b""
        self.failure: BaseException | None = None

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        """Return up to `size` bytes; fewer than that do not mean the end."""
        while not self._rest:
            try:
                part = next(self._source, None)
            except BaseException as error:
                self.failure = error
                raise
            if part is None:
                return b""
            self._rest = part
        cut = len(self._rest) if size is None or size < 0 else size
        chunk, self._rest = self._rest[:cut], self._rest[cut:]
        return chunk


def _through(
    source: Iterator[bytes], convert: Callable[[BufferedIOBase, BufferedIOBase], object]
) -> Iterator[bytes]:
    """Yield what `convert` writes while it reads `source`. age pushes its output, an upload pulls it."""
    reader = _Reader(source)
    failures: list[BaseException] = []
    reading, writing = os.pipe()

    def work() -> None:
        try:
            with os.fdopen(writing, "wb", buffering=_CHUNK) as writer:
                convert(reader, cast("BufferedIOBase", writer))
        except BaseException as error:  # noqa: BLE001 (the consumer raises it, in its own thread)
            failures.append(error)

    worker = threading.Thread(target=work)
    worker.start()
    last = b""
    try:
        with os.fdopen(reading, "rb", buffering=0) as output:
            # The last block waits until the work has ended well: an upload of half a stream never completes.
            while part := output.read(_CHUNK):
                if last:
                    yield last
                last = part
    finally:
        # If nobody reads any more, the pipe is closed and the next write of the worker ends it.
        worker.join()
    if reader.failure is not None:
        raise reader.failure
    for error in failures:
        if isinstance(error, pyrage.DecryptError):
            raise BackupError("none of READMISSION_BACKUP_IDENTITIES decrypts this backup") from error
        raise error
    if last:
        yield last
