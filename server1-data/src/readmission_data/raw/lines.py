"""Bytes of a CSV, cut into rows that each know where they stood.

One line is one row: no value of an encounter holds a line break, so a quote that is never closed costs its
own line and not the rest of the file. Empty lines are no rows.
"""

import csv
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from readmission_data.encounters.columns import COLUMNS
from readmission_data.raw.errors import SourceError

Positions = npt.NDArray[np.int64]

_LINE_FEED: Final = ord("\n")
_COMMA: Final = ord(",")
_RETURN: Final = ord("\r")
# What the plain way of reading a row does not understand.
_LAST_ASCII: Final = 127
_LISTED: Final = 5
_QUOTE: Final = b'"'
_NUL: Final = b"\0"


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
    line after it begins, `numbers` [n] are line numbers. `plain` is CSV text without quotes, one line for
    each of the rows `plain_rows`, all with the right number of fields; `broken` says what is wrong with
    each of the others.
    """

    content: bytes
    starts: Positions
    ends: Positions
    following: Positions
    numbers: Positions
    plain: bytes
    plain_rows: Positions
    broken: Mapping[int, str]

    def __len__(self) -> int:
        return len(self.numbers)

    def only(self, wanted: npt.NDArray[np.bool_]) -> "Rows":
        """Give some of the rows, chosen by a mask [n]."""
        chosen = wanted[self.plain_rows]
        rows = np.cumsum(wanted) - 1
        broken = {int(rows[row]): reason for row, reason in self.broken.items() if wanted[row]}
        return Rows(
            self.content,
            self.starts[wanted],
            self.ends[wanted],
            self.following[wanted],
            self.numbers[wanted],
            self.plain_text(chosen),
            rows[self.plain_rows[chosen]],
            broken,
        )

    def plain_text(self, chosen: npt.NDArray[np.bool_]) -> bytes:
        """Give some of the plain rows as lines of text, chosen by a mask over `plain_rows`."""
        if chosen.all() and self.plain.count(b"\n") == len(chosen) and b"\r" not in self.plain:
            return self.plain
        if self.plain is self.content:
            pieces = zip(self.starts[chosen].tolist(), self.ends[chosen].tolist(), strict=True)
            return b"\n".join([self.content[start:end] for start, end in pieces])
        return b"\n".join(itertools.compress(self.plain.split(b"\n"), chosen.tolist()))

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


def cut(block: Block, header: Sequence[str]) -> Rows:
    """Cut a block into rows; those that are not a plain list of the header's fields are looked at singly."""
    content = block.content
    text = np.frombuffer(content, dtype=np.uint8)
    following = np.flatnonzero(text == _LINE_FEED) + 1
    if len(content) and (not len(following) or following[-1] != len(content)):
        following = np.append(following, len(content))
    starts = np.concatenate(([0], following[:-1])) if len(following) else following
    ends = following - (text[following - 1] == _LINE_FEED)
    ends = ends - ((ends > starts) & (text[ends - 1] == _RETURN))
    numbers = block.number + np.arange(len(starts), dtype=np.int64)

    filled = ends > starts
    if not filled.all():
        starts, ends, following, numbers = starts[filled], ends[filled], following[filled], numbers[filled]
    odd = _has_other_than(text, len(header) - 1, starts, ends)
    # Searching bytes is quick, and most blocks hold none of these.
    if _QUOTE in content or _NUL in content or not content.isascii():
        strange = (text == _QUOTE[0]) | (text == _NUL[0]) | (text > _LAST_ASCII)
        odd |= _count_where(strange, starts, ends) > 0
    if b"\r" in content:
        odd |= _count(text, _RETURN, starts, ends) > 0

    if not odd.any():
        return Rows(content, starts, ends, following, numbers, content, np.arange(len(starts)), {})
    broken: dict[int, str] = {}
    plain: list[bytes] = []
    plain_rows: list[int] = []
    for row, (start, end, is_odd) in enumerate(
        zip(starts.tolist(), ends.tolist(), odd.tolist(), strict=True)
    ):
        line: bytes | str = content[start:end]
        if is_odd:
            line = _plain(content[start:end], header)
        if isinstance(line, str):
            broken[row] = line
        else:
            plain.append(line)
            plain_rows.append(row)
    return Rows(
        content,
        starts,
        ends,
        following,
        numbers,
        b"\n".join(plain),
        np.array(plain_rows, dtype=np.int64),
        broken,
    )


def _has_other_than(
    text: npt.NDArray[np.uint8], commas: int, starts: Positions, ends: Positions
) -> npt.NDArray[np.bool_]:
    """Tell which lines have another number of commas."""
    positions = np.flatnonzero(text == _COMMA)
    if commas and len(positions) == commas * len(starts):
        # Most blocks: each line's share of all commas lies inside the line.
        table = positions.reshape(-1, commas)
        if (table[:, 0] >= starts).all() and (table[:, -1] < ends).all():
            return np.zeros(len(starts), dtype=np.bool_)
    other: npt.NDArray[np.bool_] = _count_between(positions, starts, ends) != commas
    return other


def _count(text: npt.NDArray[np.uint8], byte: int, starts: Positions, ends: Positions) -> Positions:
    return _count_where(text == byte, starts, ends)


def _count_where(hits: npt.NDArray[np.bool_], starts: Positions, ends: Positions) -> Positions:
    return _count_between(np.flatnonzero(hits), starts, ends)


def _count_between(positions: Positions, starts: Positions, ends: Positions) -> Positions:
    return np.searchsorted(positions, ends) - np.searchsorted(positions, starts)


def _plain(line: bytes, header: Sequence[str]) -> bytes | str:
    """Give an unusual line without its quotes, or what is wrong with it."""
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
