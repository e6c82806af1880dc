"""Bytes of a CSV, cut into rows with their positions.

One line is one row: no value of an encounter contains a line break, so an unclosed quote invalidates only its
own line, not the rest of the file. Empty lines are not rows.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from readmission_data.encounters import header
from readmission_data.errors import SourceError

Positions = npt.NDArray[np.int64]

_LINE_FEED: Final = ord("\n")
_RETURN: Final = ord("\r")
_COMMA: Final = ord(",")
_IS_ODD: Final = np.array([byte >= 128 or byte in b'"\r\0' for byte in range(256)])  # noqa: PLR2004 - ASCII


@dataclass(frozen=True, slots=True)
class Block:
    """Whole lines of a CSV without its header. `offset` and `number` are the start and line of the first."""

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

    `starts` and `ends` [n] delimit each row in `content` without its line end, `following` [n] is the start
    of the next line, `numbers` [n] are line numbers.
    """

    content: bytes
    starts: Positions
    ends: Positions
    following: Positions
    numbers: Positions

    def __len__(self) -> int:
        return len(self.numbers)

    def line(self, row: int) -> bytes:
        """Return a row as received."""
        return self.content[self.starts[row] : self.ends[row]]


@dataclass(frozen=True, slots=True)
class Plain:
    """The m rows of a block that have the header's fields, as `content`: ASCII lines without quotes.

    `rows` [m], ascending, and the keys of `broken` are indices of rows; `broken` maps a missing row to its
    reason.
    """

    content: bytes
    rows: Positions
    broken: Mapping[int, str]


def read_header(line: bytes, source: str) -> tuple[str, ...]:
    """Return the column names of a header, with underscores for hyphens; raise `SourceError` if wrong."""
    try:
        return header.read(line)
    except ValueError as error:
        raise SourceError(f"{source}: {error}") from None


def cut(block: Block) -> Rows:
    """Cut a block into rows."""
    content = block.content
    text = np.frombuffer(content, dtype=np.uint8)
    following = np.flatnonzero(text == _LINE_FEED) + 1
    if len(content) and (not len(following) or following[-1] != len(content)):
        following = np.append(following, len(content))
    starts = np.concatenate(([0], following))[:-1]
    ends = following - (text[following - 1] == _LINE_FEED)
    ends = ends - ((ends > starts) & (text[ends - 1] == _RETURN))
    numbers = block.number + np.arange(len(starts), dtype=np.int64)
    filled = ends > starts
    return Rows(content, starts[filled], ends[filled], following[filled], numbers[filled])


def plain(rows: Rows, names: Sequence[str]) -> Plain:
    """Return rows as plain text: quoted fields are unquoted, and characters that no value has are refused."""
    odd = _odd(rows, len(names))
    if not len(odd):
        return Plain(rows.content, np.arange(len(rows), dtype=np.int64), {})
    broken: dict[int, str] = {}
    parts: list[bytes] = []
    start = 0
    for row in odd.tolist():
        parts.append(_lines(rows, start, row))
        try:
            parts.append(_plain_line(rows.line(row), names))
        except ValueError as error:
            broken[row] = str(error)
        start = row + 1
    parts.append(_lines(rows, start, len(rows)))
    whole = np.ones(len(rows), dtype=np.bool_)
    whole[list(broken)] = False
    return Plain(b"".join(parts), np.flatnonzero(whole), broken)


def _odd(rows: Rows, fields: int) -> Positions:
    """Return the rows with quotes, non-ASCII characters, or a wrong number of fields."""
    if not len(rows):
        return np.zeros(0, dtype=np.int64)
    text = np.frombuffer(rows.content, dtype=np.uint8)
    commas = np.searchsorted(np.flatnonzero(text == _COMMA), np.stack((rows.starts, rows.ends)))
    odd = commas[1] - commas[0] != fields - 1
    places = np.flatnonzero(_IS_ODD[text])
    # A carriage return of the line end is after the row's own end.
    of_rows = np.searchsorted(rows.starts, places, side="right") - 1
    inside = (of_rows >= 0) & (places < rows.ends[of_rows])
    odd[of_rows[inside]] = True
    return np.flatnonzero(odd)


def _lines(rows: Rows, start: int, stop: int) -> bytes:
    """Return some rows concatenated, each with its line end; empty lines may be among them."""
    if start == stop:
        return b""
    lines = rows.content[rows.starts[start] : rows.following[stop - 1]]
    return lines if lines.endswith(b"\n") else lines + b"\n"


def _plain_line(line: bytes, names: Sequence[str]) -> bytes:
    """Return a line as plain fields and commas without quotes. Raise `ValueError` with what is wrong."""
    try:
        fields = next(csv.reader([line.decode()], strict=True), [])
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start + 1} of the line is not UTF-8") from None
    except csv.Error as error:
        # Python reports an unclosed quote as an unexpected end of data.
        unclosed = "unexpected end" in str(error)
        reason = "a quote is never closed" if unclosed else "a quote or line break is misplaced"
        raise ValueError(reason) from None
    if len(fields) != len(names):
        raise ValueError(f"{len(fields)} field{'s' * (len(fields) != 1)}, but the header has {len(names)}")
    for name, field in zip(names, fields, strict=True):
        # No valid value contains these characters, and without them the line can be read as plain text.
        if not field.isascii() or any(sign in field for sign in ',"\r\n\0'):
            raise ValueError(f"{name}: contains a character that no valid value has")
    return f"{','.join(fields)}\n".encode()
