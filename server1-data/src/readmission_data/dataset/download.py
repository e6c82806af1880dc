"""Downloads one file: with a progress bar, over broken connections, and atomically."""

import fcntl
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO, Final, NoReturn

import httpx
from tqdm import tqdm

from readmission_data.errors import DatasetError

# A machine without a network must hear so at once; a server that answers may be slow.
_TIMEOUT: Final = httpx.Timeout(15, connect=5)
_PAUSES: Final = (0.5, 1.0, 2.0, 4.0)
_BUSY: Final = frozenset(
    {
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.INTERNAL_SERVER_ERROR,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)

log = logging.getLogger(__name__)


class _BrokenError(Exception):
    """The connection broke, or the server is busy: it is worth another try."""


def fetch(url: str, target: Path, check: Callable[[Path], object]) -> None:
    """Download `url` to `target`, or leave `target` alone where the server says that it is still the same.

    What comes is written beside `target`, judged by `check` (which raises where it is not what was wanted)
    and only then takes its place. A connection that breaks is taken up where it broke if the server knows how
    and names its versions (`ETag`, `Last-Modified`), else from the start; after four tries that bring nothing
    new it is given up. Two processes that want the same file download it once.

    Raises `DatasetError` with the address, without its password or query.
    """
    shown = redacted(url)
    # At level INFO it logs each address whole.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _locked(target.with_name(target.name + ".lock")):
            _Download(url, shown, target, check).run()
    except OSError as error:
        raise DatasetError(f"{shown} could not be stored in {target.parent}: {error.strerror}") from error


def redacted(url: str) -> str:
    """Return the address as it may be shown: a user, a password or a signed query stays out."""
    parsed = httpx.URL(url)
    port = f":{parsed.port}" if parsed.port else ""
    return f"{parsed.scheme}://{parsed.host}{port}{parsed.path}"


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@dataclass(slots=True)
class _Version:
    """How the server names what it is sending, so that two halves are never of two files."""

    etag: str | None = None
    modified: str | None = None
    total: int | None = None

    @property
    def validator(self) -> str | None:
        # A weak ETag promises the same meaning, not the same bytes.
        if self.etag and not self.etag.startswith("W/"):
            return self.etag
        return self.modified


class _Download:
    def __init__(self, url: str, shown: str, target: Path, check: Callable[[Path], object]) -> None:
        self._url = url
        self._shown = shown
        self._target = target
        self._check = check
        self._part = target.with_name(target.name + ".part")
        self._note = target.with_name(target.name + ".json")
        self._version = _Version()

    def run(self) -> None:
        context = httpx.create_ssl_context()
        # A hospital's own certificate authority is in the system's store, not in the one that httpx brings.
        context.load_default_certs()
        try:
            with (
                httpx.Client(timeout=_TIMEOUT, follow_redirects=True, verify=context) as client,
                self._part.open("wb") as out,
            ):
                fresh = self._receive(client, out)
                out.flush()
                os.fsync(out.fileno())
            if fresh:
                self._check(self._part)
                self._keep()
        finally:
            self._part.unlink(missing_ok=True)

    def _keep(self) -> None:
        self._note.unlink(missing_ok=True)
        self._part.replace(self._target)
        self._note.write_text(json.dumps({"etag": self._version.etag, "modified": self._version.modified}))
        folder = os.open(self._target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _receive(self, client: httpx.Client, out: BinaryIO) -> bool:
        """Return False where the server says that `target` is still what it has."""
        furthest = failures = 0
        while True:
            try:
                return self._attempt(client, out)
            except (
                httpx.ConnectError,
                httpx.ConnectTimeout,
                httpx.ProxyError,
                httpx.UnsupportedProtocol,
            ) as error:
                if furthest == 0 and out.tell() == 0:
                    raise DatasetError(f"{self._shown} cannot be reached: {_reason(error)}") from error
                reason: Exception = error
            except (_BrokenError, httpx.TransportError) as error:
                reason = error
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise DatasetError(f"{self._shown} cannot be downloaded: {_reason(error)}") from error
            failures = 0 if out.tell() > furthest else failures + 1
            furthest = max(furthest, out.tell())
            if failures == len(_PAUSES):
                message = f"{self._shown} broke off after {furthest:,} bytes: {_reason(reason)}"
                raise DatasetError(message) from reason
            log.info("the download broke off at %d bytes and goes on: %s", out.tell(), _reason(reason))
            time.sleep(_PAUSES[failures])

    def _attempt(self, client: httpx.Client, out: BinaryIO) -> bool:
        held = out.tell()
        with client.stream("GET", self._url, headers=self._request_headers(held)) as response:
            if response.status_code == HTTPStatus.NOT_MODIFIED and self._target.exists():
                return False
            if response.status_code in _BUSY:
                raise _BrokenError(f"the server answered {response.status_code}")
            if response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                _restart(out)
                raise _BrokenError("the server has no such part")
            if response.is_error:
                raise DatasetError(f"{self._shown} answered {response.status_code} {response.reason_phrase}")
            if not self._continues(response, held):
                _restart(out)
                self._version = _version(response)
            with self._bar(out.tell()) as bar:
                for chunk in response.iter_raw():
                    out.write(chunk)
                    bar.update(len(chunk))
        if self._version.total is not None and out.tell() != self._version.total:
            raise _BrokenError(f"{out.tell():,} of {self._version.total:,} bytes came")
        return True

    def _bar(self, held: int) -> "tqdm[NoReturn]":
        return tqdm(
            desc=f"download {self._target.name}",
            initial=held,
            total=self._version.total,
            unit="B",
            unit_scale=True,
            # Where nobody watches, a line every few seconds is enough.
            mininterval=0.1 if sys.stderr.isatty() else 5,
        )

    def _request_headers(self, held: int) -> dict[str, str]:
        # Compression on the way would make byte positions meaningless.
        headers = {"Accept-Encoding": "identity"}
        if held:
            # Where the server does not name its versions, two halves could be of two files: start again.
            if self._version.validator:
                headers |= {"Range": f"bytes={held}-", "If-Range": self._version.validator}
        elif self._target.exists():
            headers |= self._conditions()
        return headers

    def _conditions(self) -> dict[str, str]:
        try:
            note = json.loads(self._note.read_bytes())
        except FileNotFoundError:
            return {}
        except ValueError:
            log.warning("%s is not readable; the file is downloaded again", self._note)
            return {}
        named = {"If-None-Match": note.get("etag"), "If-Modified-Since": note.get("modified")}
        return {header: value for header, value in named.items() if value}

    def _continues(self, response: httpx.Response, held: int) -> bool:
        if response.status_code != HTTPStatus.PARTIAL_CONTENT:
            return False
        span = response.headers.get("Content-Range", "")
        start, _, total = span.removeprefix("bytes ").replace("-", "/", 1).partition("/")
        same = self._version.total is None or total.rpartition("/")[2] == str(self._version.total)
        if start == str(held) and same:
            return True
        # The part that came belongs elsewhere; the next try asks for all of it.
        self._version = _Version()
        raise _BrokenError("the server sent another part than was asked for")


def _version(response: httpx.Response) -> _Version:
    length = response.headers.get("Content-Length", "")
    return _Version(
        etag=response.headers.get("ETag"),
        modified=response.headers.get("Last-Modified"),
        total=int(length) if length.isdecimal() else None,
    )


def _restart(out: BinaryIO) -> None:
    out.seek(0)
    out.truncate()


def _reason(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
