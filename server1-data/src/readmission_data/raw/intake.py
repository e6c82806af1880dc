"""One load: it takes rows from a delivery, checks them, and writes them to the tables by split."""

import base64
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import sqlalchemy as sa

from readmission_data import bulk
from readmission_data.ahead import one_ahead
from readmission_data.raw import lines, outcome_history, tables, validation
from readmission_data.raw.outcome_history import Correction
from readmission_data.raw.repeats import Seen
from readmission_data.raw.sources import Delivery
from readmission_data.raw.split import ORDER, Codes, Split, assign
from readmission_data.raw.tombstones import Erased

_TRAIN = ORDER.index(Split.TRAIN)
_UNREADABLE = len(ORDER)
"""The code of a row whose patient cannot be read; it counts among the train rows around it."""


@dataclass(frozen=True, slots=True)
class _Prepared:
    """n rows, checked; their splits [n] as indices into `ORDER`, and whether the patient was erased [n]."""

    block: lines.Block
    rows: lines.Rows
    checked: validation.Checked
    codes: Codes
    erased: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Judged:
    """The new, the known and the broken rows of a block, by their index in it.

    An erased patient's rows are among the known ones: nothing of them is kept. `corrections` are those of the
    known rows that bring another outcome, in order.
    """

    new: validation.Numbers
    known: validation.Numbers
    corrections: Sequence[Correction]
    broken: Mapping[int, str]


@dataclass(slots=True)
class Intake:
    """One load in progress, inside the caller's transaction.

    `offset` is the start of the next load, `delivery` the delivery that this load has reached.
    """

    connection: sa.Connection
    delivery: Delivery
    batch: int
    salt: str
    seen: Seen
    erased: Erased
    offset: int = 0
    line_number: int = 0
    known: int = 0
    corrected: int = 0
    rejected: int = 0
    first_reason: str = ""
    taken: dict[Split, int] = field(default_factory=lambda: dict.fromkeys(Split, 0))
    _full: bool = False
    _left_over: bool = False

    @property
    def rows_read(self) -> int:
        """Rows of the source that this load processed."""
        return sum(self.taken.values()) + self.known + self.rejected

    @property
    def exhausted(self) -> bool:
        """Whether the source is known to have nothing more for the next load."""
        return self.delivery.following is None and not self._left_over

    @property
    def _brought_nothing(self) -> bool:
        # A source that grew repeats its invalid rows among the known ones.
        news = sum(self.taken.values()) + self.corrected
        return not news and (self.known > 0 or not self.rejected)

    def run(self) -> None:
        """Take rows until the load has its train rows and everything else it needs.

        After a delivery without new rows or outcomes comes the next delivery. A delivery of blank lines would
        not enter the ledger, and the next load would start at the same place; one of known rows, for example
        after a feed grew, would start a training without a new row. A delivery whose rows are all rejected
        ends the load, because its source may not be a data set at all.
        """
        self._take_blocks()
        while self._brought_nothing and self.delivery.following is not None:
            self.delivery = self.delivery.following()
            self._take_blocks()

    def _take_blocks(self) -> None:
        # The next block is prepared while the database writes this one.
        with closing(one_ahead(map(self._prepare, self.delivery.blocks))) as blocks:
            for prepared in blocks:
                self._take(prepared)
                if self._full and not self.delivery.held_out:
                    # The remaining blocks were not read.
                    self._left_over = True
                    return

    def _prepare(self, block: lines.Block) -> _Prepared:
        rows = lines.cut(block)
        checked = validation.check(rows, self.delivery.header)
        if self.delivery.whole and self.delivery.held_out:
            self.seen.note(checked.encounters[checked.encounters > 0])
        codes = self._codes(checked.patients)
        return _Prepared(block, rows, checked, codes, self._erased(rows, checked))

    def _erased(self, rows: lines.Rows, checked: validation.Checked) -> npt.NDArray[np.bool_]:
        mask = self.erased.mask(checked.patients)
        # A broken row may name a patient in a place where nobody looks for it.
        for row in checked.broken:
            mask[row] |= self.erased.named_in(rows.line(row))
        return mask

    def _take(self, prepared: _Prepared) -> None:
        block, rows, codes = prepared.block, prepared.rows, prepared.codes
        start = 0
        if not self._full:
            cut = self._take_until_full(prepared)
            self._full = cut is not None
            start = len(rows) if cut is None else cut + 1
            self.offset = block.offset + (len(block.content) if cut is None else int(rows.following[cut]))
            self.line_number = block.end_number if cut is None else int(rows.numbers[cut]) + 1
        if self._full and self.delivery.held_out and start < len(rows):
            wanted = _is_held_out(codes)
            wanted[:start] = False
            self._left_over |= not wanted[start:].all()
            self._keep(prepared, self._judge(prepared, wanted))

    def _codes(self, patients: validation.Numbers) -> Codes:
        """Return each row's split as an index into `ORDER`."""
        readable = patients > 0
        codes = np.full(len(patients), _UNREADABLE, dtype=np.int8)
        codes[readable] = assign(patients[readable], self.salt)
        return codes

    def _take_until_full(self, prepared: _Prepared) -> int | None:
        """Take rows in order; return the row that filled the load, or None if there is room left."""
        codes = prepared.codes
        # Either an earlier load took all validation and test rows, or this one takes every row.
        wanted = np.ones(len(codes), dtype=np.bool_) if self.delivery.held_out else ~_is_held_out(codes)
        judged = self._judge(prepared, wanted)
        cut = None
        if self.delivery.train_limit is not None:
            room = self.delivery.train_limit - self.taken[Split.TRAIN]
            train = judged.new[codes[judged.new] == _TRAIN]
            if len(train) >= room:
                cut = int(train[room - 1])
                judged = _until(judged, cut)
        self._keep(prepared, judged)
        return cut

    def _judge(self, prepared: _Prepared, wanted: npt.NDArray[np.bool_]) -> _Judged:
        checked = prepared.checked
        gone = np.flatnonzero(wanted & prepared.erased)
        wanted = wanted & ~prepared.erased
        good = checked.rows[wanted[checked.rows]]
        verdict = self.seen.judge(
            self.connection,
            checked.encounters[good],
            prepared.rows.numbers[good],
            lambda again: checked.chosen(good[again]),
        )
        broken = {row: reason for row, reason in checked.broken.items() if wanted[row]}
        broken.update((int(good[position]), reason) for position, reason in verdict.refused.items())
        corrections = [replace(found, row=int(good[found.row])) for found in verdict.corrections]
        known = np.concatenate((good[verdict.known], gone))
        return _Judged(good[verdict.new], known, corrections, broken)

    def _keep(self, prepared: _Prepared, judged: _Judged) -> None:
        """Write new rows to their tables and broken ones to the rejected rows."""
        checked, codes = prepared.checked, prepared.codes[judged.new]
        for code, split in enumerate(ORDER):
            chosen = judged.new[codes == code]
            if not len(chosen):
                continue
            part = checked.chosen(chosen).append_column("batch", pa.repeat(self.batch, len(chosen)))
            bulk.insert(self.connection, tables.ENCOUNTERS[split], part)
            self.taken[split] += len(chosen)
        self.seen.took(checked.encounters[judged.new])
        self.known += len(judged.known)
        self._correct(prepared, judged.corrections)
        self._reject(prepared.rows, judged.broken)

    def _correct(self, prepared: _Prepared, corrections: Sequence[Correction]) -> None:
        if not corrections:
            return
        rows = [correction.row for correction in corrections]
        outcome_history.correct(
            self.connection,
            self.batch,
            corrections,
            prepared.rows.numbers[rows].tolist(),
            [ORDER[code] for code in prepared.codes[rows]],
        )
        self.corrected += len(corrections)

    def _reject(self, rows: lines.Rows, broken: Mapping[int, str]) -> None:
        if not broken:
            return
        order = sorted(broken)
        if not self.rejected:
            self.first_reason = f"line {rows.numbers[order[0]]}: {broken[order[0]]}"
        encoded = [_encoded(rows.line(row)) for row in order]
        columns = {
            "batch": [self.batch] * len(order),
            "line_number": rows.numbers[order],
            "source_sha256": [self.delivery.sha256] * len(order),
            "encoding": [encoding for encoding, _ in encoded],
            "line": [line for _, line in encoded],
            "reason": [broken[row] for row in order],
        }
        bulk.insert(self.connection, tables.REJECTED_ROWS, pa.table(columns))
        self.rejected += len(order)


def _is_held_out(codes: Codes) -> npt.NDArray[np.bool_]:
    held_out: npt.NDArray[np.bool_] = (codes != _TRAIN) & (codes != _UNREADABLE)
    return held_out


def _until(judged: _Judged, cut: int) -> _Judged:
    """Drop the rows after one row of the block."""
    count = int(np.searchsorted(judged.new, cut, side="right"))
    return _Judged(
        judged.new[:count],
        judged.known[judged.known <= cut],
        [correction for correction in judged.corrections if correction.row <= cut],
        {row: reason for row, reason in judged.broken.items() if row <= cut},
    )


def _encoded(line: bytes) -> tuple[str, str]:
    """Return an encoding and the encoded line, so that a text column preserves every byte."""
    if b"\0" not in line:
        try:
            return "utf-8", line.decode()
        except UnicodeDecodeError:
            pass
    return "base64", base64.b64encode(line).decode()
