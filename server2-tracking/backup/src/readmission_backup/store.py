"""The object store: a client, objects written and read as streams whose content is hashed on the way."""

import hashlib
import os
import ssl
from collections.abc import Iterator
from io import BufferedIOBase
from pathlib import Path
from typing import BinaryIO, Final, cast
from urllib.parse import urlsplit

import urllib3
from minio import Minio
from minio.credentials.providers import StaticProvider
from minio.error import MinioException
from pydantic import SecretStr
from urllib3.exceptions import HTTPError

from readmission_backup.errors import BackupError, BrokenBackupError

STORE_ERRORS: Final = (MinioException, HTTPError, OSError, ValueError)
"""What the client raises if the store is unreachable, refuses a request or sends an invalid response."""

PART: Final = 16 * 1024 * 1024
_CHUNK: Final = 1024 * 1024


def http(ca_file: Path | None) -> urllib3.PoolManager:
    """Return a connection pool for a store that retries while the store restarts."""
    context = ssl.create_default_context(cafile=os.fspath(ca_file) if ca_file else None)
    return urllib3.PoolManager(
        ssl_context=context,
        timeout=urllib3.Timeout(connect=10, read=120),
        retries=urllib3.Retry(total=3, backoff_factor=0.4, status_forcelist=[500, 502, 503, 504]),
    )


def connect(url: str, access: SecretStr, secret: SecretStr, ca_file: Path | None, region: str) -> Minio:
    """Return a client for the store at `url`."""
    parts = urlsplit(url)
    return Minio(
        parts.netloc,
        secure=parts.scheme == "https",
        region=region,
        credentials=StaticProvider(access.get_secret_value(), secret.get_secret_value()),
        http_client=http(ca_file),
    )


class Hashing(BufferedIOBase):
    """A stream that counts and hashes what is read through it."""

    def __init__(self, source: Iterator[bytes]) -> None:
        self._source = source
        self._rest = b""
        self._hash = hashlib.sha256()
        self.size = 0

    @property
    def sha256(self) -> str:
        """SHA-256 of everything read so far, in hexadecimal."""
        return self._hash.hexdigest()

    def readable(self) -> bool:
        """Return true: the stream is readable."""
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next `size` bytes, fewer at the end only; -1 means all."""
        parts, found = [self._rest], len(self._rest)
        while (size is None or size < 0 or found < size) and (part := next(self._source, b"")):
            parts.append(part)
            found += len(part)
        everything = b"".join(parts)
        cut = found if size is None or size < 0 else size
        chunk, self._rest = everything[:cut], everything[cut:]
        self._hash.update(chunk)
        self.size += len(chunk)
        return chunk


def put(client: Minio, bucket: str, name: str, stream: Hashing, size: int = -1) -> None:
    """Write a stream as an object; size -1 means unknown. An object appears completely or not at all."""
    client.put_object(bucket, name, cast("BinaryIO", stream), size, part_size=PART)


def chunks(client: Minio, bucket: str, name: str, etag: str = "") -> Iterator[bytes]:
    """Yield the bytes of an object; with an ETag, the store refuses an object that has changed."""
    answer = client.get_object(bucket, name, request_headers={"If-Match": f'"{etag}"'} if etag else None)
    try:
        yield from answer.stream(_CHUNK)
    finally:
        answer.close()
        answer.release_conn()


def checked(client: Minio, bucket: str, name: str, size: int, sha256: str) -> Iterator[bytes]:
    """Yield an object's bytes; raise `BrokenBackupError` if they differ from what was written.

    It raises before the last of `size` bytes is out: what reads them never comes to its end by wrong ones.
    """
    stream = Hashing(chunks(client, bucket, name))
    last = b""
    while (part := stream.read(_CHUNK)) and stream.size <= size:
        if last:
            yield last
        last = part
    if (stream.size, stream.sha256) != (size, sha256):
        what = "its content changed" if stream.size == size else f"{stream.size} bytes instead of {size}"
        raise BrokenBackupError(f"{name} is damaged: {what}; take another backup")
    if last:
        yield last


def sizes(client: Minio, bucket: str, prefix: str) -> dict[str, int]:
    """Return the objects under a prefix with their sizes in bytes."""
    return {
        str(item.object_name): int(item.size or 0)
        for item in client.list_objects(bucket, prefix=prefix, recursive=True)
    }


def need(client: Minio, bucket: str) -> None:
    """Raise `BackupError` if a bucket does not exist."""
    if not client.bucket_exists(bucket):
        raise BackupError(f"the bucket {bucket} does not exist; the Job minio-accounts creates it")
