"""Downloads one file: with a progress bar, over broken connections, and atomically."""

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

# A machine without a network should find out at once; a server that answers may be slow.
_TIMEOUT: Final = httpx.Timeout(15, connect=5)
_IDLE_TRIES: Final = 4
"""Tries without progress after which a download is given up."""
_UNREACHABLE: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError)


def fetch(url: str, target: Path, check: Callable[[Path], object]) -> None:
    """Download `url` to `target`, or leave `target` alone if the server says that it has not changed.

    The download is written to a second file, judged by `check` (which raises if it is not what was wanted)
    and only then moved to `target`. A broken connection resumes where it broke if the server supports that
    and names its versions (`ETag`, `Last-Modified`), else from the start. Processes that want the same file
    at the same time download it once.

    Raise `DatasetError` with the address, without its password or query.
    """
    shown = redacted(url)
    # At level INFO it logs each address with its query.
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
    """Return the address as it may be shown, without a user, a password or a signed query."""
    parsed = httpx.URL(url)
    port = f":{parsed.port}" if parsed.port else ""
    return f"{parsed.scheme}://{parsed.host}{port}{parsed.path}"


def _download(url: str, shown: str, target: Path, part: Path) -> httpx.Headers | None:
    """Write the file to `part` and return the answer's headers, None if `target` is still up to date."""
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
    """A download in progress. `headers` are those of the answer that began what is in `out`."""

    client: httpx.Client
    url: str
    shown: str
    target: Path
    out: BinaryIO
    headers: httpx.Headers = field(default_factory=httpx.Headers)
    furthest: int = 0
    idle: int = 0

    def attempt(self) -> bool:
        """Get the rest of the file; return False if `target` is still what the server has."""
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
                    raise TransientError("the server sent another part than requested")
            elif response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                self._restart(httpx.Headers())
                raise TransientError("the server does not have the requested part")
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
    """Return how the server names the version it sends, so that two halves are never of two files."""
    etag: str | None = headers.get("ETag")
    # A weak ETag promises the same meaning, not the same bytes.
    return etag if etag and not etag.startswith("W/") else headers.get("Last-Modified")


def _conditions(headers: httpx.Headers) -> dict[str, str]:
    named = {"If-None-Match": headers.get("ETag"), "If-Modified-Since": headers.get("Last-Modified")}
    return {header: value for header, value in named.items() if value}


def _note(target: Path) -> Path:
    """Return the file that keeps the conditions under which `target` need not be downloaded again."""
    return target.with_name(target.name + ".json")


def _recall(note: Path) -> dict[str, str]:
    try:
        kept = json.loads(note.read_bytes())
        return {name: str(kept[name]) for name in ("If-None-Match", "If-Modified-Since") if name in kept}
    except (ValueError, TypeError):
        logging.getLogger(__name__).warning("%s is not readable; the file is downloaded again", note)
        return {}
