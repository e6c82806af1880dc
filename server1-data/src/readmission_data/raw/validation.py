"""What a row must be to enter the tables, over many rows at once."""

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from readmission_data import bulk
from readmission_data.encounters.columns import (
    BY_NAME,
    COLUMNS,
    ICD9_PATTERN,
    IDENTIFIERS,
    MISSING,
    Column,
    Kind,
)
from readmission_data.raw import lines
from readmission_data.raw.lines import Rows

Numbers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

_LONGEST_LIST: Final = 8
_NAMED: Final = 4
"""Bad columns that a reason names."""
_WHOLE_CODE: Final = f"^(?:{ICD9_PATTERN})$"
_LARGEST: Final = str(2**63 - 1)
_DICTIONARY: Final = pa.dictionary(pa.int32(), pa.string())


@dataclass(frozen=True, slots=True)
class Checked:
    """The verdict on n rows: which m of them are good, and why each other one is none.

    `rows` [m] and the keys of `broken` say which row of the block each is. `text` is an arrow array [m] of
    the good rows as plain CSV, each with its line end but perhaps the last. `encounters` and `patients` [n]
    are the numbers of all rows, 0 where a row has none that can be read.
    """

    header: Sequence[str]
    text: pa.Array
    rows: Numbers
    encounters: Numbers
    patients: Numbers
    broken: Mapping[int, str]

    def chosen(self, rows: Numbers) -> pa.Array:
        """Give the text of some of the good rows, by their index in the block, in rising order."""
        if len(rows) == len(self.rows):
            return self.text
        mask = np.zeros(len(self.rows), dtype=np.bool_)
        mask[np.searchsorted(self.rows, rows)] = True
        return self.text.filter(pa.array(mask))

    def columns(self, rows: Numbers | None = None) -> pa.Table:
        """Give the good rows, or some of them, typed as the tables are, missing values null."""
        chosen = self.text if rows is None else self.chosen(rows)
        typed, _ = _typed(parse(chosen, self.header))
        return typed


def check(rows: Rows, header: Sequence[str]) -> Checked:
    """Check n rows against the columns of an encounter.

    One pattern says what a good row looks like as a whole: to match it costs a tenth of reading 50 columns.
    What does not match is looked at line by line and column by column, so each way must allow the same.
    """
    header = tuple(header)
    matches = pc.match_substring_regex(rows.text, _row_pattern(header))
    good = matches.to_numpy(zero_copy_only=False)
    every = bool(good.all())
    text = rows.text if every else rows.text.filter(matches)
    matched = _numbers(text, header)
    found = np.flatnonzero(good)
    if every:
        return Checked(header, text, found, matched["encounter_id"], matched["patient_nbr"], {})
    numbers = {name: np.zeros(len(rows), dtype=np.int64) for name in IDENTIFIERS}
    for name, known in matched.items():
        numbers[name][found] = known
    plain, broken = _looked_at(rows, np.flatnonzero(~good), header)
    others = np.array(list(plain), dtype=np.int64)
    spelled = pa.array(plain.values(), type=pa.binary())
    fields = parse(spelled, header)
    for name, column in numbers.items():
        column[others] = _identifiers(fields[name])[0]
    _, faults = _typed(fields)
    wrong = np.logical_or.reduce(list(faults.values())) if faults else np.zeros(len(others), dtype=np.bool_)
    for position in np.flatnonzero(wrong).tolist():
        broken[int(others[position])] = _reason([name for name, bad in faults.items() if bad[position]])
    found = np.concatenate((found, others[~wrong]))
    order = np.argsort(found)
    text = pa.concat_arrays([text, spelled.filter(pa.array(~wrong))]).take(pa.array(order))
    return Checked(header, text, found[order], numbers["encounter_id"], numbers["patient_nbr"], broken)


def parse(text: pa.Array, header: Sequence[str]) -> pa.Table:
    """Give the fields of plain rows as text, `?` as null: identifiers as strings, others by dictionary."""
    types = {name: pa.string() if BY_NAME[name].kind is Kind.IDENTIFIER else _DICTIONARY for name in header}
    if not len(text):
        return pa.schema(types).empty_table()
    content = bulk.content(text)
    return pyarrow.csv.read_csv(
        pa.BufferReader(content),
        # One chunk, so that each column has one dictionary.
        pyarrow.csv.ReadOptions(column_names=list(header), block_size=len(content) + 1),
        pyarrow.csv.ParseOptions(quote_char=False),
        pyarrow.csv.ConvertOptions(column_types=types, null_values=[MISSING], strings_can_be_null=True),
    ).combine_chunks()


@functools.cache
def _row_pattern(header: tuple[str, ...]) -> str:
    fields = ",".join(_pattern(BY_NAME[name]) for name in header)
    return f"^{fields}\\r?\\n?$"


def _pattern(column: Column) -> str:
    if column.kind is Kind.IDENTIFIER:
        # Of 18 digits each number fits into 64 bits.
        pattern = "[1-9][0-9]{0,17}"
    elif column.kind is Kind.INTEGER:
        pattern = "|".join(str(number) for number in range(column.minimum, column.maximum + 1))
    elif column.kind is Kind.ICD9:
        pattern = ICD9_PATTERN
    else:
        pattern = "|".join(re.escape(level) for level in column.levels)
    missing = f"|{re.escape(MISSING)}" if column.missing else ""
    return f"(?:{pattern}{missing})"


def _numbers(text: pa.Array, header: tuple[str, ...]) -> dict[str, Numbers]:
    """Give the identifiers of rows that match the pattern, by column."""
    fields = pc.extract_regex(text, _identifiers_pattern(header))
    return {name: fields.field(name).cast(pa.string()).cast(pa.int64()).to_numpy() for name in IDENTIFIERS}


@functools.cache
def _identifiers_pattern(header: tuple[str, ...]) -> str:
    first, last = sorted(header.index(name) for name in IDENTIFIERS)
    return (
        f"^(?:[^,]*,){{{first}}}(?P<{header[first]}>[0-9]+),"
        f"(?:[^,]*,){{{last - first - 1}}}(?P<{header[last]}>[0-9]+)"
    )


def _looked_at(rows: Rows, odd: Numbers, header: Sequence[str]) -> tuple[dict[int, bytes], dict[int, str]]:
    """Read lines one by one: the plain text of those that have the header's fields, what ails the others."""
    plain: dict[int, bytes] = {}
    broken: dict[int, str] = {}
    for row in odd.tolist():
        line = lines.plain(rows.line(row), header)
        if isinstance(line, str):
            broken[row] = line
        else:
            plain[row] = line + b"\n"
    return plain, broken


def _identifiers(column: pa.ChunkedArray) -> tuple[Numbers, Mask]:
    """Give the numbers of an identifier column [n] and which of them are good; the others are 0.

    Good is a plain positive integer of 64 bits, without a sign, a point or leading zeros.
    """
    good = pc.fill_null(pc.match_substring_regex(column, "^[1-9][0-9]{0,18}$"), fill_value=False)
    length = len(_LARGEST)
    if pc.any(pc.equal(pc.utf8_length(column), length)).as_py():
        too_large = pc.and_(pc.equal(pc.utf8_length(column), length), pc.greater(column, _LARGEST))
        good = pc.and_(good, pc.invert(pc.fill_null(too_large, fill_value=True)))
    numbers = pc.if_else(good, column, "0").cast(pa.int64())
    return numbers.to_numpy(), good.to_numpy()


def _typed(fields: pa.Table) -> tuple[pa.Table, dict[str, Mask]]:
    """Type the columns of an encounter, and tell by column which rows have no good value in it."""
    typed: list[pa.Array] = []
    faults: dict[str, Mask] = {}
    for column in COLUMNS:
        values, bad = _checked(fields[column.name], column)
        typed.append(values)
        if bad is not None:
            faults[column.name] = bad
    return pa.table(typed, names=[column.name for column in COLUMNS]), faults


def _checked(field: pa.ChunkedArray, column: Column) -> tuple[pa.Array, Mask | None]:
    """Type one column and tell which of its values are bad, None where none is."""
    if column.kind is Kind.IDENTIFIER:
        numbers, good = _identifiers(field)
        return pa.array(numbers), None if good.all() else ~good
    coded = field.combine_chunks()
    # The dictionary holds each spelling once: a handful of values stands for all rows.
    spellings, codes = coded.dictionary, coded.indices
    if column.kind is Kind.INTEGER:
        allowed = pa.array([str(number) for number in range(column.minimum, column.maximum + 1)])
        meant = pc.add(pc.index_in(spellings, allowed), column.minimum).cast(pa.int16())
    else:
        allowed = _matches(spellings, column)
        meant = pc.if_else(allowed, spellings, None)
    values = pa.DictionaryArray.from_arrays(codes, meant)
    unknown = meant.null_count > 0
    absent = codes.null_count > 0 and not column.missing
    if not unknown and not absent:
        return values, None
    known = np.append(pc.is_valid(meant).to_numpy(zero_copy_only=False), [column.missing])
    return values, ~known[pc.fill_null(codes, len(spellings)).to_numpy()]


def _matches(spellings: pa.Array, column: Column) -> pa.Array:
    if column.kind is Kind.ICD9:
        return pc.match_substring_regex(spellings, _WHOLE_CODE)
    return pc.is_in(spellings, pa.array(column.levels))


def _reason(names: Sequence[str]) -> str:
    reasons = [f"{name}: {_allowed(BY_NAME[name])}" for name in names[:_NAMED]]
    if len(names) > _NAMED:
        reasons.append(f"and {len(names) - _NAMED} more columns")
    return "; ".join(reasons)


def _allowed(column: Column) -> str:
    """Say what a column takes, without what the row had."""
    if column.kind is Kind.IDENTIFIER:
        text = "must be a positive integer of 64 bits"
    elif column.kind is Kind.INTEGER:
        text = f"must be an integer from {column.minimum} to {column.maximum}"
    elif column.kind is Kind.ICD9:
        text = "must be an ICD-9 code such as 250.83, V58 or E885"
    elif len(column.levels) <= _LONGEST_LIST:
        text = f"must be one of {', '.join(column.levels)}"
    else:
        text = f"is none of the {len(column.levels)} levels it can take"
    return f"{text}, or {MISSING}" if column.missing else text
