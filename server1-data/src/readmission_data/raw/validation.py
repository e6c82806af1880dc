"""The conditions for a row to enter the tables, checked for many rows at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from readmission_data.encounters import icd9_codes
from readmission_data.encounters.columns import (
    BY_NAME,
    COLUMNS,
    ICD9_PATTERN,
    IDENTIFIERS,
    MISSING,
    Column,
    Kind,
)
from readmission_data.raw.lines import Plain, Rows, plain

Numbers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

_LONGEST_LIST: Final = 8
_NAMED: Final = 4
"""Maximum number of invalid columns in a reason."""
_WHOLE_CODE: Final = f"^(?:{ICD9_PATTERN})$"
_LARGEST: Final = str(2**63 - 1)
_DICTIONARY: Final = pa.dictionary(pa.int32(), pa.string())


@dataclass(frozen=True, slots=True)
class Checked:
    """The result for n rows: m valid rows, and the reason why each other row is invalid.

    `columns` are the valid rows with the types of the tables, and null for missing values. `rows` [m],
    ascending, and the keys of `broken` are indices into the n rows. `encounters` and `patients` [n] are the
    numbers of all rows, 0 for a row whose number cannot be read.
    """

    columns: pa.Table
    rows: Numbers
    encounters: Numbers
    patients: Numbers
    broken: Mapping[int, str]

    def chosen(self, rows: Numbers) -> pa.Table:
        """Return some of the valid rows, by their index among the n, ascending."""
        if len(rows) == len(self.rows):
            return self.columns
        mask = np.zeros(len(self.rows), dtype=np.bool_)
        mask[np.searchsorted(self.rows, rows)] = True
        return self.columns.filter(pa.array(mask))


def check(rows: Rows, header: Sequence[str]) -> Checked:
    """Check n rows against the columns of an encounter."""
    text = plain(rows, header)
    typed, faults = _typed(_parse(text, header))
    numbers = {name: np.zeros(len(rows), dtype=np.int64) for name in IDENTIFIERS}
    for name, known in numbers.items():
        known[text.rows] = typed[name].to_numpy()
    broken = dict(text.broken)
    invalid = np.zeros(len(text.rows), dtype=np.bool_)
    if faults:
        invalid = np.logical_or.reduce(list(faults.values()))
        for position in np.flatnonzero(invalid).tolist():
            broken[int(text.rows[position])] = _reason(
                [name for name, bad in faults.items() if bad[position]]
            )
        typed = typed.filter(pa.array(~invalid))
    return Checked(typed, text.rows[~invalid], numbers["encounter_id"], numbers["patient_nbr"], broken)


def _parse(text: Plain, header: Sequence[str]) -> pa.Table:
    """Return the fields of plain rows as text, `?` as null: identifiers as strings, others by dictionary."""
    types = {name: pa.string() if BY_NAME[name].kind is Kind.IDENTIFIER else _DICTIONARY for name in header}
    if not len(text.rows):
        return pa.schema(types).empty_table().combine_chunks()
    return pyarrow.csv.read_csv(
        pa.BufferReader(text.content),
        # One chunk, so that each column has one dictionary.
        pyarrow.csv.ReadOptions(column_names=list(header), block_size=len(text.content) + 1),
        pyarrow.csv.ParseOptions(quote_char=False),
        pyarrow.csv.ConvertOptions(column_types=types, null_values=[MISSING], strings_can_be_null=True),
    ).combine_chunks()


def _identifiers(column: pa.ChunkedArray) -> tuple[Numbers, Mask]:
    """Return the numbers of an identifier column [n], 0 for an invalid one, and which of them are valid.

    Valid is a plain positive integer of 64 bits, without a sign, a point or leading zeros.
    """
    good = pc.fill_null(pc.match_substring_regex(column, "^[1-9][0-9]{0,18}$"), fill_value=False)
    length = len(_LARGEST)
    if pc.any(pc.equal(pc.utf8_length(column), length)).as_py():
        too_large = pc.and_(pc.equal(pc.utf8_length(column), length), pc.greater(column, _LARGEST))
        good = pc.and_(good, pc.invert(pc.fill_null(too_large, fill_value=True)))
    numbers = pc.if_else(good, column, "0").cast(pa.int64())
    return numbers.to_numpy(), good.to_numpy()


def _typed(fields: pa.Table) -> tuple[pa.Table, dict[str, Mask]]:
    """Return the typed columns of an encounter and, by column, the rows without a valid value."""
    typed: list[pa.Array] = []
    faults: dict[str, Mask] = {}
    for column in COLUMNS:
        values, bad = _checked(fields[column.name], column)
        typed.append(values)
        if bad is not None:
            faults[column.name] = bad
    return pa.table(typed, names=[column.name for column in COLUMNS]), faults


def _checked(field: pa.ChunkedArray, column: Column) -> tuple[pa.Array, Mask | None]:
    """Return one column typed, and which of its values are invalid, None if all are valid."""
    if column.kind is Kind.IDENTIFIER:
        numbers, good = _identifiers(field)
        return pa.array(numbers), None if good.all() else ~good
    coded = field.combine_chunks()
    # The dictionary contains each text once: checking a few values checks all rows.
    texts, codes = coded.dictionary, coded.indices
    if column.kind is Kind.INTEGER:
        allowed = pa.array([str(number) for number in range(column.minimum, column.maximum + 1)])
        meant = pc.add(pc.index_in(texts, allowed), column.minimum).cast(pa.int16())
    else:
        meant = pc.if_else(_matches(texts, column), _canonical(texts, column), None)
    values = pa.DictionaryArray.from_arrays(codes, meant)
    unknown = meant.null_count > 0
    absent = codes.null_count > 0 and not column.missing
    if not unknown and not absent:
        return values, None
    known = np.append(pc.is_valid(meant).to_numpy(zero_copy_only=False), [column.missing])
    return values, ~known[pc.fill_null(codes, len(texts)).to_numpy()]


def _canonical(texts: pa.Array, column: Column) -> pa.Array:
    if column.kind is Kind.ICD9:
        for pattern, replacement in icd9_codes.CANONICAL:
            texts = pc.replace_substring_regex(texts, pattern, replacement)
    return texts


def _matches(texts: pa.Array, column: Column) -> pa.Array:
    if column.kind is Kind.ICD9:
        return pc.match_substring_regex(texts, _WHOLE_CODE)
    return pc.is_in(texts, pa.array(column.levels))


def _reason(names: Sequence[str]) -> str:
    reasons = [f"{name}: {_allowed(BY_NAME[name])}" for name in names[:_NAMED]]
    if len(names) > _NAMED:
        reasons.append(f"and {len(names) - _NAMED} more columns")
    return "; ".join(reasons)


def _allowed(column: Column) -> str:
    """Return a description of the values that a column accepts, without the row's own value."""
    if column.kind is Kind.IDENTIFIER:
        text = "must be a positive integer of 64 bits"
    elif column.kind is Kind.INTEGER:
        text = f"must be an integer from {column.minimum} to {column.maximum}"
    elif column.kind is Kind.ICD9:
        text = "must be an ICD-9 code such as 250.83, V58 or E885, not ICD-10"
    elif len(column.levels) <= _LONGEST_LIST:
        text = f"must be one of {', '.join(column.levels)}"
    else:
        text = f"must be one of {len(column.levels)} known levels"
    return f"{text}, or {MISSING}" if column.missing else text
