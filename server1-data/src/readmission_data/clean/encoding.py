"""The fitted encoding: how raw patient fields become the features of a model.

It is data, not code: each feature is a sum of weighted integer fields and of one contribution for the level
of each categorical field. So it can be kept in a table, read by people, and written into an ONNX graph that
computes exactly the same numbers.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from readmission_data.clean import icd9
from readmission_data.encounters.columns import BY_NAME, MISSING, Kind
from readmission_data.errors import ReadmissionDataError

Float32Array = npt.NDArray[np.float32]

STEP: Final = 2.0**-20
"""Every contribution is a multiple of it.

Float32 holds 24 binary digits, so a sum of multiples of one step is exact, in any order, as long as it stays
below 2**24 steps. Numpy here and the ONNX graph in serving therefore give the same bits, whichever way each
of them adds up. Integer features are multiples of 1 and may reach 2**24; fitted rates are rounded to STEP
(1e-6, far below their standard error) and may reach 16.
"""

FRAME_COLUMNS: Final = ("feature", "source_column", "level", "value")

_EXACT_STEPS: Final = 2.0**24
_CHUNK_ROWS: Final = 65_536


class FeatureKind(StrEnum):
    """What a feature tells about its source."""

    INTEGER = "integer"
    ORDINAL = "ordinal"
    ONE_HOT = "one_hot"
    GROUP = "icd9_group"
    COUNT = "count"
    RATE = "target_rate"


@dataclass(frozen=True, slots=True)
class Feature:
    """One column of the model's input and the fields it is computed from."""

    name: str
    sources: tuple[str, ...]
    kind: FeatureKind

    @property
    def source_column(self) -> str:
        """The fields as one text, joined with a plus."""
        return "+".join(self.sources)


class EncodingError(ReadmissionDataError):
    """An encoding that cannot be computed exactly, or a frame that it cannot be applied to."""


@dataclass(frozen=True, slots=True, eq=False)
class Encoding:
    """Level tables and weights that turn raw fields into features.

    numeric: integer fields that are read, n of them; `weights` is float32 [n, features].
    categorical: string fields that are read, m of them. Each has in `levels` its known keys, sorted, and in
    `tables` a float32 array [len(levels) + 1, features]: a row for each key, and last the row for any other.
    The key of an ICD-9 field is what stands before the dot; every other field's key is its value; a missing
    value's key is "?".
    A feature's value is the sum over `numeric` of value * weight plus the sum over `categorical` of the
    key's row.
    """

    features: tuple[Feature, ...]
    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    weights: Float32Array
    levels: tuple[tuple[str, ...], ...]
    tables: tuple[Float32Array, ...]

    def __post_init__(self) -> None:
        """Raise EncodingError where shapes disagree or a sum could be inexact."""
        width = len(self.features)
        if self.weights.shape != (len(self.numeric), width):
            raise EncodingError(f"weights have shape {self.weights.shape}, not {(len(self.numeric), width)}")
        if not len(self.categorical) == len(self.levels) == len(self.tables):
            raise EncodingError("categorical fields, levels and tables differ in number")
        for field, keys, table in zip(self.categorical, self.levels, self.tables, strict=True):
            if table.shape != (len(keys) + 1, width):
                raise EncodingError(f"table of {field} has shape {table.shape}, not {(len(keys) + 1, width)}")
        self._check_exact()

    def _check_exact(self) -> None:
        fractional = np.zeros(len(self.features), dtype=bool)
        reach = np.zeros(len(self.features))
        for field, weight in zip(self.numeric, self.weights.astype(float), strict=True):
            reach += np.abs(weight) * BY_NAME[field].maximum
            fractional |= weight % 1 != 0
        for table in self.tables:
            exact = table.astype(float)
            reach += np.abs(exact).max(axis=0)
            fractional |= (exact % 1 != 0).any(axis=0)
            if (exact % STEP != 0).any():
                raise EncodingError("a contribution is not a multiple of the encoding's step")
        if (self.weights.astype(float) % STEP != 0).any():
            raise EncodingError("a weight is not a multiple of the encoding's step")
        inexact = reach >= np.where(fractional, _EXACT_STEPS * STEP, _EXACT_STEPS)
        if inexact.any():
            raise EncodingError(f"{self.names[int(inexact.argmax())]} is too large to be exact in float32")

    @property
    def names(self) -> tuple[str, ...]:
        """The features' names, in order."""
        return tuple(feature.name for feature in self.features)

    @property
    def icd9(self) -> tuple[str, ...]:
        """The categorical fields whose key is what stands before the dot."""
        return tuple(field for field in self.categorical if BY_NAME[field].kind is Kind.ICD9)

    def keys(self, field: str, values: Iterable[object]) -> list[str]:
        """Return the key of each value of a categorical field."""
        texts = [MISSING if pd.isna(value) else str(value) for value in values]  # type: ignore[call-overload]
        return [icd9.key(text) for text in texts] if BY_NAME[field].kind is Kind.ICD9 else texts

    def transform(self, frame: pd.DataFrame) -> Float32Array:
        """Return the features [n, features] of an encounters frame, exact in float32.

        Raises EncodingError where a field that the encoding reads is absent.
        """
        absent = [field for field in (*self.numeric, *self.categorical) if field not in frame]
        if absent:
            raise EncodingError(f"the frame lacks {', '.join(absent)}")
        result = np.empty((len(frame), len(self.features)), dtype=np.float32)
        # In chunks, so that what is added up stays in the processor's cache and memory stays flat.
        for start in range(0, len(frame), _CHUNK_ROWS):
            chunk = frame.iloc[start : start + _CHUNK_ROWS]
            result[start : start + len(chunk)] = self._transform_chunk(chunk).T
        return result

    def _transform_chunk(self, frame: pd.DataFrame) -> Float32Array:
        columns = np.zeros((len(self.features), len(frame)), dtype=np.float32)
        for field, weight in zip(self.numeric, self.weights, strict=True):
            values = frame[field].to_numpy(dtype=np.float32)
            for feature in np.flatnonzero(weight):
                columns[feature] += values * weight[feature]
        for field, keys, table in zip(self.categorical, self.levels, self.tables, strict=True):
            codes, uniques = pd.factorize(frame[field], use_na_sentinel=False)
            rows = pd.Index(keys, dtype=object).get_indexer(
                pd.Index(self.keys(field, uniques.tolist()), dtype=object)
            )
            # get_indexer gives -1 for a key that the table does not know: its last row.
            contributions = table[rows]
            for feature in np.flatnonzero(table.any(axis=0)):
                columns[feature] += contributions[codes, feature]
        return columns

    def select(self, names: Sequence[str]) -> Self:
        """Return the encoding of some features, in the order of `names`, reading only what they need."""
        positions = {name: position for position, name in enumerate(self.names)}
        unknown = [name for name in names if name not in positions]
        if unknown:
            raise EncodingError(f"no such feature: {', '.join(unknown)}")
        chosen = [positions[name] for name in names]
        contributions = {
            field: dict(zip((*keys, None), table[:, chosen], strict=True))
            for field, keys, table in zip(self.categorical, self.levels, self.tables, strict=True)
        }
        weights = dict(zip(self.numeric, self.weights[:, chosen], strict=True))
        return self.build([self.features[position] for position in chosen], weights, contributions)

    @classmethod
    def build(
        cls,
        features: Sequence[Feature],
        weights: dict[str, Float32Array],
        contributions: dict[str, dict[str | None, Float32Array]],
    ) -> Self:
        """Return the encoding in its one canonical form.

        `weights` holds float32 [features] for an integer field, `contributions` the same for each key of a
        categorical field, and under None for keys it does not name. Fields that add nothing and keys that
        add the same as an unknown one are left out; fields stand in the order of an encounter's columns.
        """
        order = {name: position for position, name in enumerate(BY_NAME)}
        numeric = sorted((field for field, weight in weights.items() if weight.any()), key=order.__getitem__)
        levels: list[tuple[str, ...]] = []
        tables: list[Float32Array] = []
        categorical: list[str] = []
        for field in sorted(contributions, key=order.__getitem__):
            rows = contributions[field]
            default = rows[None]
            keys = sorted(key for key, row in rows.items() if key is not None and (row != default).any())
            if not keys and not default.any():
                continue
            categorical.append(field)
            levels.append(tuple(keys))
            tables.append(np.array([*(rows[key] for key in keys), default], dtype=np.float32))
        empty = np.zeros((0, len(features)), dtype=np.float32)
        return cls(
            features=tuple(features),
            numeric=tuple(numeric),
            categorical=tuple(categorical),
            weights=np.array([weights[field] for field in numeric], dtype=np.float32) if numeric else empty,
            levels=tuple(levels),
            tables=tuple(tables),
        )

    def to_frame(self) -> pd.DataFrame:
        """Return the numbers as rows: feature, source_column, level, value.

        An integer field has one row a feature: its weight, without a level. A categorical field's row without
        a level is what an unknown key adds (0 if there is none); rows with one are the keys that add
        something else. `from_frame` reads them back.
        """
        rows: list[tuple[str, str, str | None, float]] = []
        for position, feature in enumerate(self.names):
            for field, weight in zip(self.numeric, self.weights[:, position], strict=True):
                if weight:
                    rows.append((feature, field, None, float(weight)))
            for field, keys, table in zip(self.categorical, self.levels, self.tables, strict=True):
                *values, default = table[:, position].tolist()
                if default:
                    rows.append((feature, field, None, default))
                known = zip(keys, values, strict=True)
                rows.extend((feature, field, key, value) for key, value in known if value != default)
        return pd.DataFrame(rows, columns=list(FRAME_COLUMNS))

    @classmethod
    def from_frame(cls, features: Sequence[Feature], frame: pd.DataFrame) -> Self:
        """Return the encoding that `to_frame` wrote, for the same features in the same order."""
        positions = {feature.name: position for position, feature in enumerate(features)}
        blank = np.zeros(len(features), dtype=np.float32)
        weights: dict[str, Float32Array] = {}
        contributions: dict[str, dict[str | None, Float32Array]] = {}
        rows = list(frame[list(FRAME_COLUMNS)].itertuples(index=False, name=None))
        defaults = [row for row in rows if pd.isna(row[2])]
        known = [row for row in rows if not pd.isna(row[2])]
        for feature, field, _, value in defaults:
            if BY_NAME[field].kind is Kind.INTEGER:
                weights.setdefault(field, blank.copy())[positions[feature]] = value
            else:
                field_rows = contributions.setdefault(field, {None: blank.copy()})
                field_rows[None][positions[feature]] = value
        # Only now are the defaults complete that a key starts from.
        for feature, field, key, value in known:
            field_rows = contributions.setdefault(field, {None: blank.copy()})
            field_rows.setdefault(key, field_rows[None].copy())[positions[feature]] = value
        return cls.build(features, weights, contributions)
