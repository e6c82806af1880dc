"""The sources of batches, and the file as one of them."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Final, Protocol

from readmission_data.dataset import DatasetFile
from readmission_data.errors import SourceError
from readmission_data.raw.ledger import Batch
from readmission_data.raw.lines import Block, read_header
from readmission_data.raw.split import TRAIN_SHARE

BLOCK_BYTES: Final = 2 << 20
_SMALLEST: Final = 1 << 16
_FIRST: Final = 1 << 18
"""A load's first block is small, because the database waits for it."""
_LONGEST_LINE: Final = 8 << 20
_LONGEST_HEADER: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Delivery:
    """The content of a source for one load.

    `earlier` are the earlier batches of this source; `whole` is true if the blocks run to its end.
    `train_limit` is the number of train rows to take before stopping, None for all of them. With `held_out`,
    the rows of validation and test are taken from all blocks; without it, an earlier load has taken them.
    `following` fetches the delivery after the last block, or is None if the source ends there; a load uses it
    if this delivery contains nothing new. `cursor` formats a position in the source for the ledger.
    """

    sha256: str
    dataset_kind: str
    header: Sequence[str]
    blocks: Iterator[Block]
    earlier: Sequence[Batch]
    whole: bool
    train_limit: int | None
    held_out: bool
    following: "Callable[[], Delivery] | None"
    cursor: Callable[[int], str]


class Source(Protocol):
    """A source of encounters, batch by batch."""

    @property
    def kind(self) -> str:
        """`file` or `feed`."""

    @property
    def name(self) -> str:
        """Its path or address, for messages."""

    def deliver(self, ledger: Sequence[Batch]) -> Delivery:
        """Return the delivery after the ledger's batches. Raise `SourceError` if it cannot be read."""


@dataclass(frozen=True, slots=True)
class FileSource:
    """A data set on this machine. The first load takes all validation and test rows, each load train rows."""

    file: DatasetFile
    batch_size: int
    kind: str = "file"

    @property
    def name(self) -> str:
        """The file's path."""
        return str(self.file.path)

    def deliver(self, ledger: Sequence[Batch]) -> Delivery:
        """Continue after the last batch of a file with the same content."""
        earlier = [
            batch
            for batch in ledger
            if (batch.source_kind, batch.source_sha256) == (self.kind, self.file.sha256)
        ]
        stream = self.file.open_csv()
        line = stream.readline(_LONGEST_HEADER)
        header = read_header(line, self.name)
        sizes: Iterator[int] = itertools.chain(_rising(), itertools.repeat(BLOCK_BYTES))
        offset, number = len(line), 2
        if earlier:
            offset, number = int(earlier[-1].next_cursor), earlier[-1].next_line
            stream.seek(offset)
            sizes = _fitting(int(self.batch_size / TRAIN_SHARE * offset / number))
        return Delivery(
            sha256=self.file.sha256,
            dataset_kind=self.file.kind,
            header=header,
            blocks=_blocks(stream, sizes, offset, number, self.name),
            earlier=earlier,
            whole=True,
            train_limit=self.batch_size,
            held_out=not earlier,
            following=None,
            cursor=str,
        )


def _rising() -> Iterator[int]:
    """Yield sizes from the first block's to the usual one."""
    size = _FIRST
    while size < BLOCK_BYTES:
        yield size
        size *= 2


def _fitting(expected: int) -> Iterator[int]:
    """Yield sizes of blocks: first those that a load will probably take, then small ones."""
    for size in itertools.chain(_rising(), itertools.repeat(BLOCK_BYTES)):
        if size >= expected:
            break
        yield size
        expected -= size
    yield max(expected, _SMALLEST)
    yield from itertools.repeat(_FIRST)


def _blocks(stream: BinaryIO, sizes: Iterator[int], offset: int, number: int, name: str) -> Iterator[Block]:
    """Cut the rest of a stream into blocks of whole lines, and close it."""
    with stream:
        rest = b""
        while chunk := stream.read(next(sizes)):
            content = rest + chunk
            end = content.rfind(b"\n") + 1
            if not end and len(content) > _LONGEST_LINE:
                raise SourceError(
                    f"{name}: line {number} is longer than {_LONGEST_LINE} bytes; this is no CSV"
                )
            if end:
                yield Block(content[:end], offset, number)
                number += content.count(b"\n", 0, end)
                offset += end
            rest = content[end:]
        if rest:
            yield Block(rest, offset, number)
