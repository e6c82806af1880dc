"""What a row must be to enter the tables: column by column, over many rows at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from readmission_data.encounters.columns import BY_NAME, COLUMNS, ICD9_PATTERN, MISSING, Column, Kind
from readmission_data.raw.lines import Rows

Mask = npt.NDArray[np.bool_]

_LONGEST_LIST: Final = 8
_NAMED: Final = 4
"""Bad columns that a reason names."""
_WHOLE_CODE: Final = f"^(?:{ICD9_PATTERN})$"
_LARGEST: Final = str(2**63 - 1)
_DICTIONARY: Final = pa.dictionary(pa.int32(), pa.string())


@dataclass(frozen=True, slots=True)
class Checked:
    """The verdict on n rows: the m good ones typed, in their order, and why each other one is none.

    `columns` [m] is typed as the tables are, missing values null; `rows` [m] and the keys of `broken` say
    which row of the block each is.
    """

    columns: pa.Table
    rows: npt.NDArray[np.int64]
    broken: Mapping[int, str]


def parse(rows: Rows, header: Sequence[str], names: Sequence[str] | None = None) -> pa.Table:
    """Give the plain rows' fields as text, `?` as null: identifiers as strings, others by dictionary.

    `names` picks columns.
    """
    types = {
        name: pa.string() if BY_NAME[name].kind is Kind.IDENTIFIER else _DICTIONARY
        for name in names or header
    }
    if not len(rows.plain_rows):
        return pa.schema(types).empty_table()
    return pyarrow.csv.read_csv(
        pa.BufferReader(rows.plain),
        # One chunk, so that each column has one dictionary.
        pyarrow.csv.ReadOptions(column_names=list(header), block_size=len(rows.plain) + 1),
        pyarrow.csv.ParseOptions(quote_char=False),
        pyarrow.csv.ConvertOptions(
            include_columns=list(types), column_types=types, null_values=[MISSING], strings_can_be_null=True
        ),
    ).combine_chunks()


def identifiers(column: pa.ChunkedArray) -> tuple[npt.NDArray[np.int64], Mask]:
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


def check(fields: pa.Table, rows: npt.NDArray[np.int64]) -> Checked:
    """Check the fields of n rows against the columns of an encounter, and type the rows that pass."""
    typed: list[pa.Array] = []
    faults: dict[str, Mask] = {}
    for column in COLUMNS:
        values, bad = _checked(fields[column.name], column)
        typed.append(values)
        if bad is not None:
            faults[column.name] = bad
    columns = pa.table(typed, names=[column.name for column in COLUMNS])
    if not faults:
        return Checked(columns, rows, {})
    broken = np.logical_or.reduce(list(faults.values()))
    reasons = {
        int(rows[position]): _reason([name for name, bad in faults.items() if bad[position]])
        for position in np.flatnonzero(broken).tolist()
    }
    return Checked(columns.filter(pa.array(~broken)), rows[~broken], reasons)


def _checked(field: pa.ChunkedArray, column: Column) -> tuple[pa.Array, Mask | None]:
    """Type one column and tell which of its values are bad, None where none is."""
    if column.kind is Kind.IDENTIFIER:
        numbers, good = identifiers(field)
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
