"""One response of a feed: requested until the feed is not busy, decoded within limits, checked by digest."""

import base64
import hashlib
import json
import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import httpx

from readmission_data import web
from readmission_data.errors import SourceError, TransientError

MOST_BYTES: Final = 64 << 20
"""Maximum bytes of a response, received or decoded; the largest block of rows needs a tenth."""

_TIMEOUT: Final = httpx.Timeout(60, connect=5)
_GZIP: Final = frozenset({"gzip", "x-gzip"})
_GZIP_WINDOW: Final = 31
_DIGEST: Final = re.compile(r"(sha-256|sha-512)=:([A-Za-z0-9+/=]*):")


@dataclass(frozen=True, slots=True)
class Answer:
    """The response of a feed; `content` is decoded."""

    status: int
    headers: httpx.Headers
    content: bytes

    @property
    def detail(self) -> str:
        """The feed's own description of a problem: one line about the request, never about rows."""
        try:
            detail = str(json.loads(self.content)["detail"])
        except (ValueError, KeyError, TypeError):
            return ""
        return f": {' '.join(detail.split())[:200]}"


def get(url: httpx.URL, headers: dict[str, str], name: str) -> Answer:
    """Get an address, again after a pause if the feed is busy or the connection breaks.

    Raise `SourceError` with the feed's name if all attempts fail or the response is not valid.
    """

    def attempt() -> Answer:
        # The system's certificate authorities include a hospital's own.
        with (
            httpx.Client(timeout=_TIMEOUT, headers=headers, verify=web.trusted()) as client,
            client.stream("GET", url, headers={"Accept-Encoding": "gzip"}) as response,
        ):
            coded = _bounded(response.iter_raw())
            content = _decoded(coded, response.headers.get("Content-Encoding", "identity").strip().lower())
            answer = Answer(response.status_code, response.headers, content)
            web.raise_if_busy(response, answer.detail)
            if answer.status == HTTPStatus.OK and not _intact(response.headers, coded, content):
                raise TransientError("the block does not match its digest")
            return answer

    try:
        return web.tries()(attempt)
    except httpx.UnsupportedProtocol:
        # An error in the setting, which the caller names.
        raise
    except (TransientError, httpx.TransportError) as error:
        raise SourceError(f"{name} cannot be read: {web.reason(error)}") from error
    except SourceError as error:
        raise SourceError(f"{name} cannot be read: {error}") from None


def _bounded(chunks: Iterable[bytes]) -> bytes:
    content = bytearray()
    for chunk in chunks:
        content += chunk
        if len(content) > MOST_BYTES:
            raise SourceError(f"its answer is larger than {MOST_BYTES >> 20} MiB")
    return bytes(content)


def _decoded(coded: bytes, coding: str) -> bytes:
    if coding in {"", "identity"} or not coded:
        return coded
    if coding not in _GZIP:
        raise SourceError(f"its answer has the Content-Encoding {coding[:20]!r}, not gzip or identity")
    content = bytearray()
    # A gzip file may have several members.
    while coded:
        member = zlib.decompressobj(_GZIP_WINDOW)
        try:
            content += member.decompress(coded, MOST_BYTES + 1 - len(content))
        except zlib.error:
            raise TransientError("its answer is not valid gzip") from None
        if len(content) > MOST_BYTES:
            raise SourceError(f"its answer is larger than {MOST_BYTES >> 20} MiB when decompressed")
        if not member.eof:
            raise TransientError("its answer is cut off gzip")
        coded = member.unused_data
    return bytes(content)


def _intact(headers: httpx.Headers, coded: bytes, content: bytes) -> bool:
    """Compare a response with its SHA-256 and SHA-512 digests (RFC 9530); without a digest it passes.

    A digest covers the encoded bytes. A digest of the decoded bytes is also accepted: a proxy that compresses
    a response often leaves the digest unchanged.
    """
    return all(
        digest in {_digest(algorithm, coded), _digest(algorithm, content)}
        for field in ("Content-Digest", "Repr-Digest")
        for algorithm, digest in _DIGEST.findall(headers.get(field, ""))
    )


def _digest(algorithm: str, content: bytes) -> str:
    return base64.b64encode(hashlib.new(algorithm.replace("-", ""), content).digest()).decode()
