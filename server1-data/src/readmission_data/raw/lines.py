"""Bytes of a CSV, cut into rows that each know where they stood.

One line is one row: no value of an encounter holds a line break, so a quote that is never closed costs its
own line and not the rest of the file. Empty lines are no rows.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from readmission_data.encounters.columns import COLUMNS
from readmission_data.raw.errors import SourceError

Positions = npt.NDArray[np.int64]

_LINE_FEED: Final = ord("\n")
_RETURN: Final = ord("\r")
_LISTED: Final = 5


@dataclass(frozen=True, slots=True)
class Block:
    """Whole lines of a CSV without its header. `offset` is where they begin, `number` their first line's."""

    content: bytes
    offset: int
    number: int

    @property
    def end_number(self) -> int:
        """The number of the line after the block."""
        return self.number + self.content.count(b"\n") + (not self.content.endswith(b"\n"))


@dataclass(frozen=True, slots=True)
class Rows:
    """The n rows of a block.

    `starts` and `ends` [n] bound each row in `content` without its line end, `following` [n] is where the
    line after it begins, `numbers` [n] are line numbers. `text` is an arrow array [n] of the rows' bytes,
    line ends included.
    """

    content: bytes
    starts: Positions
    ends: Positions
    following: Positions
    numbers: Positions
    text: pa.Array

    def __len__(self) -> int:
        return len(self.numbers)

    def line(self, row: int) -> bytes:
        """Give a row as it came."""
        return self.content[self.starts[row] : self.ends[row]]


def read_header(line: bytes, source: str) -> tuple[str, ...]:
    """Give the column names of a header, in its order, with underscores for hyphens.

    The columns may stand in any order. Raises `SourceError` where one is missing, unknown or there twice.
    """
    known = {column.name: column for column in COLUMNS} | {column.csv_name: column for column in COLUMNS}
    try:
        text = line.decode("utf-8-sig")
        fields = next(csv.reader([text], strict=True), [])
    except (UnicodeDecodeError, csv.Error):
        raise SourceError(
            f"{source}: the header is no line of UTF-8 text; save the file as CSV, UTF-8"
        ) from None
    found = [known[field.strip()].name if field.strip() in known else None for field in fields]
    if not any(found):
        raise SourceError(
            f"{source}: the first line names no column of an encounter; is this diabetic_data.csv?"
        )
    names = [name for name in found if name]
    absent = [column.csv_name for column in COLUMNS if column.name not in names]
    if absent:
        raise SourceError(f"{source}: the header lacks {_listed(absent)}")
    if None in found:
        extra = [field.strip()[:40] for field, name in zip(fields, found, strict=True) if name is None]
        raise SourceError(f"{source}: the header has {_listed(extra)} beyond the {len(COLUMNS)} columns")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SourceError(f"{source}: the header has {_listed(twice)} twice")
    return tuple(names)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:_LISTED])
    rest = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"column{'s' if len(names) > 1 else ''} {shown}{rest}"


def cut(block: Block) -> Rows:
    """Cut a block into rows."""
    content = block.content
    text = np.frombuffer(content, dtype=np.uint8)
    following = np.flatnonzero(text == _LINE_FEED) + 1
    if len(content) and (not len(following) or following[-1] != len(content)):
        following = np.append(following, len(content))
    bounds = np.concatenate(([0], following))
    starts = bounds[:-1]
    ends = following - (text[following - 1] == _LINE_FEED)
    ends = ends - ((ends > starts) & (text[ends - 1] == _RETURN))
    numbers = block.number + np.arange(len(starts), dtype=np.int64)
    # The lines follow each other: an arrow array over the same bytes copies nothing.
    offsets = pa.py_buffer(bounds.astype(np.int32))
    lines = pa.Array.from_buffers(pa.binary(), len(starts), [None, offsets, pa.py_buffer(content)])
    filled = ends > starts
    if filled.all():
        return Rows(content, starts, ends, following, numbers, lines)
    lines = lines.filter(pa.array(filled))
    return Rows(content, starts[filled], ends[filled], following[filled], numbers[filled], lines)


def plain(line: bytes, header: Sequence[str]) -> bytes | str:
    """Give a line as plain fields and commas, quotes taken off, or what is wrong with it."""
    try:
        fields = next(csv.reader([line.decode()], strict=True), [])
    except UnicodeDecodeError as error:
        return f"byte {error.start + 1} of the line is not UTF-8"
    except csv.Error as error:
        # Python's words: an unexpected end of data is a quote that is never closed.
        return (
            "a quote is never closed"
            if "unexpected end" in str(error)
            else "a quote or line break is misplaced"
        )
    if len(fields) != len(header):
        return f"{len(fields)} field{'s' * (len(fields) != 1)} where the header has {len(header)}"
    for name, field in zip(header, fields, strict=True):
        # No allowed value holds one, and without them the line can be read as plain text.
        if not field.isascii() or any(sign in field for sign in ',"\r\n\0'):
            return f"{name}: holds a character that no value of it has"
    return ",".join(fields).encode()
