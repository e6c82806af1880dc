"""Download one file atomically, with a progress bar, and resume broken connections."""

import json
import logging
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO, Final, NoReturn

import httpx
from filelock import FileLock
from tqdm import tqdm

from readmission_data import web
from readmission_data.errors import DatasetError, TransientError

# Without a network, fail quickly; a server that accepts connections may be slow.
_TIMEOUT: Final = httpx.Timeout(15, connect=5)
_IDLE_TRIES: Final = 4
"""Attempts without progress before a download fails."""
_UNREACHABLE: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError)


def fetch(url: str, target: Path, check: Callable[[Path], object]) -> None:
    """Download `url` to `target`, or leave `target` alone if the server says that it has not changed.

    The download is written to a second file, checked by `check` (which raises if the file is wrong), and only
    then moved to `target`. A broken connection resumes where it broke if the server supports ranges and
    identifies its versions (`ETag`, `Last-Modified`); otherwise it starts again. Processes that need the same
    file at the same time download it once.

    Raise `DatasetError` with the address, but without its password or query.
    """
    shown = redacted(url)
    # At level INFO, httpx logs each address with its query.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    part = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_name(target.name + ".lock")):
            try:
                headers = _download(url, shown, target, part)
                if headers is not None:
                    check(part)
                    _note(target).unlink(missing_ok=True)
                    part.replace(target)
                    _note(target).write_text(json.dumps(_conditions(headers)))
            finally:
                part.unlink(missing_ok=True)
    except OSError as error:
        raise DatasetError(f"{shown} cannot be stored in {target.parent}: {error.strerror}") from error


def redacted(url: str) -> str:
    """Return the address without user, password or signed query, safe to show."""
    parsed = httpx.URL(url)
    port = f":{parsed.port}" if parsed.port else ""
    return f"{parsed.scheme}://{parsed.host}{port}{parsed.path}"


def _download(url: str, shown: str, target: Path, part: Path) -> httpx.Headers | None:
    """Write the file to `part` and return the response's headers, or None if `target` is up to date."""
    with (
        httpx.Client(timeout=_TIMEOUT, follow_redirects=True, verify=web.trusted()) as client,
        part.open("wb") as out,
    ):
        transfer = _Transfer(client, url, shown, target, out)
        try:
            changed = web.tries(stop=lambda _: transfer.idle >= _IDLE_TRIES)(transfer.attempt)
        except (TransientError, httpx.TransportError) as error:
            broken = f"broke off after {transfer.furthest:,} bytes"
            raise DatasetError(f"{shown} {broken}: {web.reason(error)}") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise DatasetError(f"{shown} cannot be downloaded: {web.reason(error)}") from error
        out.flush()
        os.fsync(out.fileno())
    return transfer.headers if changed else None


@dataclass(slots=True)
class _Transfer:
    """A download in progress. `headers` are those of the response that started the content of `out`."""

    client: httpx.Client
    url: str
    shown: str
    target: Path
    out: BinaryIO
    headers: httpx.Headers = field(default_factory=httpx.Headers)
    furthest: int = 0
    idle: int = 0

    def attempt(self) -> bool:
        """Download the rest of the file; return False if `target` is still the server's version."""
        try:
            return self._receive()
        except _UNREACHABLE as error:
            if not self.furthest:
                raise DatasetError(f"{self.shown} cannot be reached: {web.reason(error)}") from error
            raise

    def _receive(self) -> bool:
        held = self.out.tell()
        self.idle += 1
        with self.client.stream("GET", self.url, headers=self._request_headers(held)) as response:
            if response.status_code == HTTPStatus.NOT_MODIFIED and self.target.exists():
                return False
            web.raise_if_busy(response)
            if response.status_code == HTTPStatus.PARTIAL_CONTENT:
                if not response.headers.get("Content-Range", "").startswith(f"bytes {held}-"):
                    self._restart(httpx.Headers())
                    raise TransientError("the server sent a different range than requested")
            elif response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                self._restart(httpx.Headers())
                raise TransientError("the server does not have the requested range")
            elif response.is_error:
                raise DatasetError(f"{self.shown} answered {response.status_code} {response.reason_phrase}")
            else:
                self._restart(response.headers)
            with self._bar() as bar:
                for chunk in response.iter_raw():
                    self.out.write(chunk)
                    bar.update(len(chunk))
                    self._advance()
        return True

    def _advance(self) -> None:
        if self.out.tell() > self.furthest:
            self.furthest, self.idle = self.out.tell(), 0

    def _restart(self, headers: httpx.Headers) -> None:
        self.out.seek(0)
        self.out.truncate()
        self.headers = headers

    def _bar(self) -> "tqdm[NoReturn]":
        length = self.headers.get("Content-Length", "")
        return tqdm(
            desc=f"download {self.target.name}",
            initial=self.out.tell(),
            total=int(length) if length.isdecimal() else None,
            unit="B",
            unit_scale=True,
            # In a log, a line every few seconds is enough.
            mininterval=0.1 if sys.stderr.isatty() else 5,
        )

    def _request_headers(self, held: int) -> dict[str, str]:
        # Compression would make byte positions meaningless.
        headers = {"Accept-Encoding": "identity"}
        if held:
            version = _version(self.headers)
            if version:
                headers |= {"Range": f"bytes={held}-", "If-Range": version}
        elif self.target.exists() and _note(self.target).exists():
            headers |= _recall(_note(self.target))
        return headers


def _version(headers: httpx.Headers) -> str | None:
    """Return the server's identifier of the version, so that parts of two versions are never combined."""
    etag: str | None = headers.get("ETag")
    # A weak ETag promises the same meaning, not the same bytes.
    return etag if etag and not etag.startswith("W/") else headers.get("Last-Modified")


def _conditions(headers: httpx.Headers) -> dict[str, str]:
    named = {"If-None-Match": headers.get("ETag"), "If-Modified-Since": headers.get("Last-Modified")}
    return {header: value for header, value in named.items() if value}


def _note(target: Path) -> Path:
    """Return the file that stores the validators for a conditional download of `target`."""
    return target.with_name(target.name + ".json")


def _recall(note: Path) -> dict[str, str]:
    try:
        kept = json.loads(note.read_bytes())
        return {name: str(kept[name]) for name in ("If-None-Match", "If-Modified-Since") if name in kept}
    except (ValueError, TypeError):
        logging.getLogger(__name__).warning("%s is not readable; downloading the file again", note)
        return {}
