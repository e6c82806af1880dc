"""Read a data set once: its checksum, its header and whether it was generated."""

import hashlib
import json
import logging
import os
import re
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO, Final

from readmission_data.dataset.file import DatasetFile, Kind, open_csv, status
from readmission_data.encounters import header
from readmission_data.errors import DatasetError

UCI_SHA256: Final = "0689e7ec031237dc63031b938805c48377748761a3b26acab621567afa24df97"
"""SHA-256 of `diabetic_data.csv`, 19,159,383 bytes, as UCI publishes it in data set 296."""

SYNTHETIC_PREFIX: Final = "99099099"
"""The prefix of the 15-digit numbers of every generated encounter and patient.

The range is reserved: the rows identify the sample even if it was renamed, zipped, cut, mixed into other data
or served by a feed. There is no side file to lose, and no cell violates the schema.
"""

_SYNTHETIC_NUMBER = re.compile(rb'[\n,"]' + SYNTHETIC_PREFIX.encode() + rb'\d{7}[\r\n,"]')
_GZIP = b"\x1f\x8b"
_CHUNK = 1 << 20
_OVERLAP = 32
_LONGEST_HEADER = 1 << 16
_MEMO_VERSION = 1

log = logging.getLogger(__name__)


def inspect(path: Path, cache_dir: Path) -> DatasetFile:
    """Return a description of the file. Raise `DatasetError` if it cannot be a data set.

    The result is cached in `cache_dir` as long as the file's size, times and inode stay the same, so that a
    load need not unpack the file twice.
    """
    path = path.absolute()
    state = status(path)
    identity = [_MEMO_VERSION, str(path), state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns]
    memo = cache_dir / "inspected" / f"{hashlib.sha256(str(path).encode()).hexdigest()[:16]}.json"
    remembered = _recall(memo, identity)
    if remembered is None:
        remembered = _read(path)
        _remember(memo, identity, remembered)
    sha256, synthetic = remembered
    kind: Kind = "uci" if sha256 == UCI_SHA256 else "synthetic" if synthetic else "own"
    return DatasetFile(path, kind, sha256, state.st_size, state.st_mtime_ns)


def _read(path: Path) -> tuple[str, bool]:
    try:
        with open_csv(path) as stream:
            first = stream.readline(_LONGEST_HEADER)
            _check_header(path, first)
            return _scan(path, stream, first)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise DatasetError(f"{path} is a broken or truncated zip: {error}") from error
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror or error}") from error


def _scan(path: Path, stream: BinaryIO, first: bytes) -> tuple[str, bool]:
    digest = hashlib.sha256(first)
    tail = b"\n"
    rows = synthetic = False
    while chunk := stream.read(_CHUNK):
        digest.update(chunk)
        rows = True
        window = tail + chunk
        # The plain search is ten times faster than the pattern, and nearly always enough.
        if not synthetic and SYNTHETIC_PREFIX.encode() in window:
            synthetic = _SYNTHETIC_NUMBER.search(window) is not None
        tail = window[-_OVERLAP:]
    if not rows:
        raise DatasetError(f"{path} has a header and no rows")
    return digest.hexdigest(), synthetic


def _check_header(path: Path, line: bytes) -> None:
    start = line[:512].lstrip().lower()
    if not start:
        raise DatasetError(f"{path} is empty")
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head", b"<body")):
        raise DatasetError(f"{path} is a web page, not a CSV; download the file itself")
    if not line.startswith(_GZIP) and not _is_text(line):
        raise DatasetError(f"{path} is neither a zip nor a CSV in UTF-8")
    try:
        header.read(line)
    except ValueError as error:
        raise DatasetError(f"{path}: {error}") from None


def _is_text(line: bytes) -> bool:
    try:
        text = line.decode("utf-8-sig")
    except UnicodeDecodeError:
        return False
    # Lines may end with CR alone, or fields with a tab.
    return text.translate(dict.fromkeys(b"\r\n\t")).isprintable()


def _recall(memo: Path, identity: list[object]) -> tuple[str, bool] | None:
    try:
        entry = json.loads(memo.read_bytes())
        if entry["identity"] == identity:
            return str(entry["sha256"]), bool(entry["synthetic"])
    except FileNotFoundError:
        pass
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("ignoring the cached checksum in %s: %s", memo, error)
    return None


def _remember(memo: Path, identity: list[object], found: tuple[str, bool]) -> None:
    sha256, synthetic = found
    temporary = memo.with_suffix(f".{os.getpid()}")
    try:
        memo.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps({"identity": identity, "sha256": sha256, "synthetic": synthetic}))
        temporary.replace(memo)
    except OSError as error:
        # Without a cache, the next load takes a tenth of a second longer.
        log.warning("could not cache the checksum of %s: %s", identity[1], error)
