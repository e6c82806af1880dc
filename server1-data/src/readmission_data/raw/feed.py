"""The HTTP feed as a source: hospitals serve blocks of rows by cursor."""

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, get_args

import httpx
from pydantic import SecretStr

from readmission_data.dataset.file import Kind
from readmission_data.errors import SourceError
from readmission_data.raw import feed_answer
from readmission_data.raw.feed_answer import Answer
from readmission_data.raw.ledger import Batch
from readmission_data.raw.lines import Block, read_header
from readmission_data.raw.sources import Delivery

LARGEST_BLOCK: Final = 15_000
"""Maximum number of rows in a feed's block."""

_FIRST_LINE: Final = 2
"""The line of row 0: a feed counts rows from 0, a file's lines are counted from its header as line 1."""


@dataclass(frozen=True, slots=True)
class _Fetched:
    """A response, and the cursor of its request."""

    answer: Answer
    cursor: str | None


@dataclass(frozen=True, slots=True)
class FeedSource:
    """A feed with its base address. Each load takes the next block, with rows of all splits."""

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
        """Fetch the block after the last batch of the feed's source, or the first block of a new source.

        Later blocks are fetched when the load needs them.
        """
        earlier = [
            batch for batch in ledger if (batch.source_kind, batch.source_name) == (self.kind, self.name)
        ]
        cursor = earlier[-1].next_cursor if earlier else None
        fetched = self._fetch(cursor)
        if fetched.answer.status == HTTPStatus.CONFLICT:
            # The feed's source has changed. A new source is read from the start, skipping its known rows.
            # An earlier one continues where it ended: read again, its rows would count as repeats.
            fetched = self._fetch(None)
            own = _of_source(earlier, fetched.answer.headers.get("Feed-Source-SHA256"))
            if own:
                fetched = self._fetch(own[-1].next_cursor)
        return self._delivery(fetched, earlier)

    def _delivery(
        self, fetched: _Fetched, earlier: Sequence[Batch], place: tuple[str, int] | None = None
    ) -> Delivery:
        """Read a response that must begin at `place`, the source's checksum and a row.

        The default place is where the ledger's last batch of that source ended.
        """
        answer = fetched.answer
        if answer.status != HTTPStatus.OK:
            raise SourceError(f"{self.name} answered {answer.status}{answer.detail}")
        try:
            sha256 = answer.headers["Feed-Source-SHA256"]
            next_cursor = answer.headers["Feed-Next-Cursor"]
            kind = answer.headers["Feed-Source-Kind"]
            first_row = int(answer.headers["Feed-First-Row"])
            row_count = int(answer.headers["Feed-Rows"])
            exhausted = answer.headers["Feed-Exhausted"] == "true"
        except (KeyError, ValueError) as error:
            raise SourceError(f"{self.name} is not an encounter feed: its answer lacks {error}") from None
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
        elif row_count and next_cursor == fetched.cursor:
            wrong = f"block from row {first_row} has the cursor that was asked for"
        elif not row_count and not exhausted:
            wrong = f"block from row {first_row} is empty, yet it is not exhausted"
        if wrong:
            # Otherwise rows would be silently lost or duplicated.
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

    def _fetch(self, cursor: str | None) -> _Fetched:
        parameters = {"limit": str(min(self.batch_size, LARGEST_BLOCK))} | (
            {"cursor": cursor} if cursor else {}
        )
        headers = {"Authorization": f"Bearer {self.token.get_secret_value()}"} if self.token else {}
        try:
            base = httpx.URL(self.url)
            # Keep the address's query: some gateways take their key from it.
            url = base.copy_with(path=f"{base.path.rstrip('/')}/v1/encounters").copy_merge_params(parameters)
            return _Fetched(feed_answer.get(url, headers, self.name), cursor)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise SourceError(f"READMISSION_FEED_URL is not a valid address: {error}") from None


def _of_source(batches: Sequence[Batch], sha256: str | None) -> list[Batch]:
    return [batch for batch in batches if batch.source_sha256 == sha256]
