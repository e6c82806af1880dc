"""The keys of the level tables: the text of a field, or the crossed texts of several fields."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from readmission_data.clean import icd9
from readmission_data.encounters import icd9_codes
from readmission_data.encounters.columns import BY_NAME, MISSING, Kind

Codes = npt.NDArray[np.int64]

CROSS: Final = "*"
"""Separates the parts of a crossed level; no value of a field contains it."""

UNKNOWN: Final = -1


class Form(StrEnum):
    """The part of a field's text that a key uses."""

    VALUE = "value"
    """The whole text."""
    STEM = "stem"
    """An ICD-9 code's part before the dot."""
    GROUP = "group"
    """An ICD-9 code's group."""


@dataclass(frozen=True, slots=True)
class Part:
    """One field of a key. A missing value's text is "?" in every form."""

    field: str
    form: Form = Form.VALUE

    def __str__(self) -> str:
        return self.field if self.form is Form.VALUE else f"{self.field}:{self.form}"

    def text(self, value: str) -> str:
        """Return the text that a value of the field adds to the key."""
        if self.form is Form.VALUE or value == MISSING:
            return value
        stem = icd9.stem(value)
        return stem if self.form is Form.STEM else icd9.group(stem)

    def spellings(self, text: str) -> tuple[str, ...]:
        """Return the texts that mean the same, the canonical one first: an ICD-9 code has several."""
        if BY_NAME[self.field].kind is not Kind.ICD9 or self.form is Form.GROUP:
            return (text,)
        return icd9_codes.stems(text) if self.form is Form.STEM else icd9_codes.spellings(text)


@dataclass(frozen=True, slots=True)
class Key:
    """One part, or several parts crossed."""

    parts: tuple[Part, ...]

    def __str__(self) -> str:
        return CROSS.join(str(part) for part in self.parts)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the key from the text that `str` returned."""
        pairs = (part.partition(":") for part in text.split(CROSS))
        return cls(tuple(Part(field, Form(form or Form.VALUE)) for field, _, form in pairs))

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of the key."""
        return tuple(part.field for part in self.parts)


@dataclass(frozen=True, slots=True)
class Coded:
    """A field's column as numbers: each row's code [n], and the text of each code."""

    codes: Codes
    texts: tuple[str, ...]

    @classmethod
    def of(cls, column: "pd.Series[str]") -> Self:
        """Return a coded column of strings; missing values (None or NaN) get the text "?"."""
        codes, uniques = pd.factorize(column, use_na_sentinel=False)
        texts = tuple(MISSING if pd.isna(value) else str(value) for value in uniques.tolist())
        return cls(codes.astype(np.int64), texts)

    def part(self, part: Part) -> Self:
        """Return the same rows coded by the text they add to a key, ICD-9 codes in their canonical form."""
        texts = [part.spellings(part.text(text))[0] for text in self.texts]
        known = sorted(set(texts))
        position = {text: code for code, text in enumerate(known)}
        recode = np.array([position[text] for text in texts], dtype=np.int64)
        return type(self)(recode[self.codes], tuple(known))


class Lookup:
    """Finds the row of one level table for each encounter."""

    def __init__(self, key: Key, levels: Iterable[str]) -> None:
        """Prepare the look-up of `levels`, in the order of the table's rows."""
        split = [tuple(level.split(CROSS)) for level in levels]
        self.key = key
        self._texts = [
            {text: code for code, text in enumerate(sorted(set(column)))}
            for column in (zip(*split, strict=True) if split else ((),) * len(key.parts))
        ]
        # One cell for every combination of the parts' known texts, plus one text for all others.
        self._rows = np.full([len(texts) + 1 for texts in self._texts], UNKNOWN, dtype=np.int32)
        for row, parts in enumerate(split):
            self._rows[tuple(texts[text] for texts, text in zip(self._texts, parts, strict=True))] = row

    def rows(self, columns: dict[str, Coded]) -> npt.NDArray[np.int32]:
        """Return each encounter's row of the table [n]; UNKNOWN, the last row, if no level matches."""
        codes = []
        for part, known in zip(self.key.parts, self._texts, strict=True):
            coded = columns[part.field]
            recode = np.array([known.get(part.text(text), UNKNOWN) for text in coded.texts], dtype=np.int64)
            codes.append(recode[coded.codes])
        return self._rows[tuple(codes)]
