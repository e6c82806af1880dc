"""The file that the feed serves, addressed by row without keeping it in memory."""

import csv
import hashlib
import os
import re
import shutil
import tempfile
import threading
import weakref
import zipfile
import zlib
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final, Literal

Kind = Literal["uci", "own", "synthetic"]

CHUNK: Final = 1 << 18

_UCI_SHA256: Final = "0689e7ec031237dc63031b938805c48377748761a3b26acab621567afa24df97"
# Encounter and patient numbers of 15 digits with this prefix are reserved for generated samples.
_SYNTHETIC_PREFIX: Final = b"99099099"
_SYNTHETIC_NUMBER: Final = re.compile(rb'[\n,"]' + _SYNTHETIC_PREFIX + rb'\d{7}[\r\n,"]')
_OVERLAP: Final = 32
_ZIP_SIGNATURES: Final = (b"PK\x03\x04", b"PK\x05\x06")


class SourceError(Exception):
    """The source cannot be read now; the message is one line for the operator of the feed."""


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Snapshot:
    """One state of the source: an open file, and the number of line ends before each of its chunks.

    A row is a line after the header, counted from 0; the last may lack its line end.
    """

    descriptor: int
    size: int
    sha256: str
    kind: Kind
    rows: int
    line_ends: "array[int]"

    def offset(self, row: int) -> int:
        """Return the byte at which a row starts; for the number of rows, return the end of the file."""
        if row >= self.rows:
            return self.size
        # The header's line end is the first, so the row starts after line end number row + 1.
        wanted = row + 1
        chunk = bisect_left(self.line_ends, wanted) - 1
        data = os.pread(self.descriptor, CHUNK, chunk * CHUNK)
        position = -1
        for _ in range(wanted - self.line_ends[chunk]):
            position = data.index(b"\n", position + 1)
        return chunk * CHUNK + position + 1

    def read(self, start: int, end: int) -> Iterator[bytes]:
        """Yield the bytes from `start` up to `end`, a chunk at a time."""
        while start < end:
            data = os.pread(self.descriptor, min(CHUNK, end - start), start)
            if not data:
                raise SourceError("the source became shorter while it was read")
            start += len(data)
            yield data

    @property
    def header(self) -> list[str]:
        """The names in the first line."""
        line = b"".join(self.read(0, min(self.offset(0), CHUNK)))
        return next(csv.reader([line.decode("utf-8-sig", errors="replace").rstrip("\r\n")]), [])


class Source:
    """Keeps the newest snapshot of a file, and detects a change of the file at the next request."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._identity: tuple[int, ...] | None = None
        self._snapshot: Snapshot | None = None

    def snapshot(self) -> Snapshot:
        """Return the current state of the file. Raise `SourceError` if it cannot be read."""
        with self._lock:
            try:
                state = self._path.stat()
                identity = (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)
                if self._snapshot is None or identity != self._identity:
                    self._snapshot = _take(self._path)
                    self._identity = identity
            except OSError as error:
                raise SourceError(f"{self._path} cannot be read: {error.strerror or error}") from error
            except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
                raise SourceError(f"{self._path} is not a readable zip: {error}") from error
            return self._snapshot


def _take(path: Path) -> Snapshot:
    descriptor = _open(path)
    try:
        snapshot = _index(path, descriptor)
    except BaseException:
        os.close(descriptor)
        raise
    # Responses that are still being sent keep their snapshot, and so its file, open.
    weakref.finalize(snapshot, os.close, descriptor)
    return snapshot


def _open(path: Path) -> int:
    descriptor = os.open(path, os.O_RDONLY)
    if os.pread(descriptor, 4, 0) not in _ZIP_SIGNATURES:
        return descriptor
    os.close(descriptor)
    # A compressed file cannot be read from the middle. The copy has no name and disappears when it is closed.
    with zipfile.ZipFile(path) as archive, tempfile.TemporaryFile() as copy:
        names = [name for name in archive.namelist() if name.lower().endswith(".csv")]
        named = [name for name in names if PurePosixPath(name).name == "diabetic_data.csv"] or names
        if len(named) != 1:
            raise SourceError(f"{path} does not hold one diabetic_data.csv")
        with archive.open(named[0]) as member:
            shutil.copyfileobj(member, copy, CHUNK)
        copy.flush()
        return os.dup(copy.fileno())


def _index(path: Path, descriptor: int) -> Snapshot:
    digest = hashlib.sha256()
    line_ends = array("Q", [0])
    size = 0
    tail = b"\n"
    synthetic = False
    while data := os.pread(descriptor, CHUNK, size):
        digest.update(data)
        size += len(data)
        line_ends.append(line_ends[-1] + data.count(b"\n"))
        window = tail + data
        if not synthetic and _SYNTHETIC_PREFIX in window:
            synthetic = _SYNTHETIC_NUMBER.search(window) is not None
        tail = window[-_OVERLAP:]
    if line_ends[-1] == 0:
        raise SourceError(f"{path} has no header line")
    rows = line_ends[-1] - 1 + (not tail.endswith(b"\n"))
    sha256 = digest.hexdigest()
    kind: Kind = "uci" if sha256 == _UCI_SHA256 else "synthetic" if synthetic else "own"
    return Snapshot(descriptor, size, sha256, kind, rows, line_ends)
