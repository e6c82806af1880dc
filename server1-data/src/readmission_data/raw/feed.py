"""The HTTP feed as a source: hospitals hand out blocks of rows by cursor."""

import base64
import hashlib
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, get_args

import httpx
from pydantic import SecretStr

from readmission_data.dataset.file import Kind
from readmission_data.errors import SourceError
from readmission_data.raw.ledger import Batch
from readmission_data.raw.lines import Block, read_header
from readmission_data.raw.sources import Delivery

LARGEST_BLOCK: Final = 15_000
"""Rows that a feed hands out at most."""

_FIRST_LINE: Final = 2
"""The line of row 0: a feed counts rows from 0, a file's lines are counted from its header as line 1."""

_PAUSES: Final = (0.2, 1, 3)
"""Seconds before each new try; a feed may restart or be busy."""

_BUSY: Final = frozenset({429, 500, 502, 503, 504})
_TIMEOUT: Final = httpx.Timeout(60, connect=5)


@dataclass(frozen=True, slots=True)
class FeedSource:
    """A feed, by its base address. Each load takes the next block, rows of all splits."""

    url: str
    batch_size: int
    token: SecretStr | None
    kind: str = "feed"

    @property
    def name(self) -> str:
        """The feed's address, without a user or password."""
        url = httpx.URL(self.url)
        return str(url.copy_with(userinfo=b"", query=None)).rstrip("/")

    def deliver(self, ledger: Sequence[Batch]) -> Delivery:
        """Fetch the block after the last batch of the feed's source, or the first one where that is new.

        What follows a block is fetched when it is asked for.
        """
        earlier = [
            batch for batch in ledger if (batch.source_kind, batch.source_name) == (self.kind, self.name)
        ]
        cursor = earlier[-1].next_cursor if earlier else None
        answer = self._fetch(cursor)
        if answer.status_code == HTTPStatus.CONFLICT:
            # The feed's source has changed: a new one is taken from the start, known rows told apart.
            # One that was here before goes on where it ended: taken again, its rows would count as repeats.
            answer = self._fetch(None)
            own = _of_source(earlier, answer.headers.get("Feed-Source-SHA256"))
            if own:
                answer = self._fetch(own[-1].next_cursor)
        return self._delivery(answer, earlier)

    def _delivery(
        self, answer: httpx.Response, earlier: Sequence[Batch], place: tuple[str, int] | None = None
    ) -> Delivery:
        """Read an answer that must begin at a `place`, the source's checksum and a row.

        Without one it is where the ledger's last batch of that source ended.
        """
        if answer.status_code != HTTPStatus.OK:
            raise SourceError(f"{self.name} answered {answer.status_code}{_detail(answer)}")
        try:
            sha256 = answer.headers["Feed-Source-SHA256"]
            next_cursor = answer.headers["Feed-Next-Cursor"]
            kind = answer.headers["Feed-Source-Kind"]
            first_row = int(answer.headers["Feed-First-Row"])
            row_count = int(answer.headers["Feed-Rows"])
            exhausted = answer.headers["Feed-Exhausted"] == "true"
        except (KeyError, ValueError) as error:
            raise SourceError(f"{self.name} is no encounter feed: its answer lacks {error}") from None
        end = answer.content.find(b"\n") + 1 or len(answer.content)
        block = Block(answer.content[end:], end, first_row + _FIRST_LINE)
        found = block.end_number - block.number if block.content else 0
        own = _of_source(earlier, sha256)
        place = place or (sha256, own[-1].next_line - _FIRST_LINE if own else 0)
        wrong = None
        if kind not in get_args(Kind):
            wrong = f"Feed-Source-Kind is {kind[:40]!r}, none of {', '.join(get_args(Kind))}"
        elif (sha256, first_row) != place:
            wrong = f"block begins at row {first_row} of {sha256[:6]}, not row {place[1]} of {place[0][:6]}"
        elif found != row_count:
            wrong = f"block from row {first_row} has {found} rows, not {row_count} as Feed-Rows says"
        elif row_count and next_cursor == answer.request.url.params.get("cursor"):
            wrong = f"block from row {first_row} has the cursor that was asked for"
        elif not row_count and not exhausted:
            wrong = f"block from row {first_row} is empty, yet it is not exhausted"
        if wrong:
            # Rows would be lost or come twice, and nobody would see it.
            raise SourceError(f"{self.name}: its {wrong}")

        def following() -> Delivery:
            return self._delivery(self._fetch(next_cursor), earlier, (sha256, first_row + row_count))

        return Delivery(
            sha256=sha256,
            dataset_kind=kind,
            header=read_header(answer.content[:end], self.name),
            blocks=iter([block] if block.content else []),
            earlier=own,
            whole=False,
            train_limit=None,
            held_out=True,
            following=None if exhausted else following,
            cursor=lambda _offset: next_cursor,
        )

    def _fetch(self, cursor: str | None) -> httpx.Response:
        """Get a block, again after a pause when the feed is busy or the connection breaks."""
        parameters = {"limit": str(min(self.batch_size, LARGEST_BLOCK))} | (
            {"cursor": cursor} if cursor else {}
        )
        headers = {"Authorization": f"Bearer {self.token.get_secret_value()}"} if self.token else {}
        reason = ""
        for pause in (0.0, *_PAUSES):
            time.sleep(pause)
            try:
                # The system's store of authorities: a hospital's own one is there.
                trusted = ssl.create_default_context()
                with httpx.Client(timeout=_TIMEOUT, headers=headers, verify=trusted) as client:
                    answer = client.get(f"{self.url.rstrip('/')}/v1/encounters", params=parameters)
                if answer.status_code not in _BUSY and _is_whole(answer):
                    return answer
                reason = f"it answered {answer.status_code}{_detail(answer)}"
                if answer.status_code == HTTPStatus.OK:
                    reason = "the block's checksum does not fit"
            except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
                raise SourceError(f"READMISSION_FEED_URL is no address: {error}") from None
            except httpx.TransportError as error:
                reason = str(error) or type(error).__name__
        raise SourceError(f"{self.name} could not be read in {len(_PAUSES) + 1} tries: {reason}")


def _of_source(batches: Sequence[Batch], sha256: str | None) -> list[Batch]:
    return [batch for batch in batches if batch.source_sha256 == sha256]


def _is_whole(answer: httpx.Response) -> bool:
    """Compare a block with its checksum (RFC 9530); an answer without one passes."""
    digest = answer.headers.get("Content-Digest", "")
    if not digest.startswith("sha-256=:"):
        return True
    found = base64.b64encode(hashlib.sha256(answer.content).digest()).decode()
    return bool(digest == f"sha-256=:{found}:")


def _detail(answer: httpx.Response) -> str:
    """Give the feed's own words of what is wrong; they are one line about the request, never about rows."""
    try:
        detail = str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return ""
    return f": {' '.join(detail.split())[:200]}"
