"""The fitted encoding: how raw patient fields become the features of a model.

It is data, not code: each feature is the sum of weighted integer fields and of one contribution from each
level table. It can therefore be stored in a table, read by people, and written into an ONNX graph that
computes exactly the same numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from readmission_data.clean.keys import Coded, Form, Key, Lookup, Part
from readmission_data.encounters.columns import BY_NAME
from readmission_data.errors import EncodingError

__all__ = ["STEP", "Encoding", "Feature", "FeatureKind", "Form", "Key", "Part"]

Float32Array = npt.NDArray[np.float32]

STEP: Final = 2.0**-20
"""Every contribution is a multiple of this step.

Float32 holds 24 binary digits, so a sum of multiples of one step is exact, in any order, as long as it stays
below 2**24 steps. NumPy here and the ONNX graph in serving therefore produce the same bits, in whatever order
they add. Integer features are multiples of 1 and may reach 2**24; fitted rates are rounded to STEP
(1e-6, far below their standard error) and may reach 16.
"""

_EXACT_STEPS: Final = 2.0**24
_CHUNK_ROWS: Final = 65_536
_COLUMN_ORDER: Final = {name: position for position, name in enumerate(BY_NAME)}


class FeatureKind(StrEnum):
    """What a feature expresses about its source."""

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


@dataclass(frozen=True, slots=True, eq=False)
class Encoding:
    """Level tables and weights that turn raw fields into features.

    numeric: the integer fields; `weights` is float32 [numeric, features].
    keys: the keys of the level tables. For each key, `levels` contains its known levels, sorted, and `tables`
    a float32 array [levels + 1, features]: one row per level, and a last row for any other level.
    A feature's value is the sum over `numeric` of value * weight plus the sum over `keys` of the level's row.
    """

    features: tuple[Feature, ...]
    numeric: tuple[str, ...]
    keys: tuple[Key, ...]
    weights: Float32Array
    levels: tuple[tuple[str, ...], ...]
    tables: tuple[Float32Array, ...]

    def __post_init__(self) -> None:
        """Raise `EncodingError` if shapes disagree or a sum could be inexact."""
        width = len(self.features)
        if self.weights.shape != (len(self.numeric), width):
            raise EncodingError(f"weights have shape {self.weights.shape}, not {(len(self.numeric), width)}")
        if not len(self.keys) == len(self.levels) == len(self.tables):
            raise EncodingError("keys, levels and tables differ in number")
        for key, levels, table in zip(self.keys, self.levels, self.tables, strict=True):
            if table.shape != (len(levels) + 1, width):
                raise EncodingError(f"table of {key} has shape {table.shape}, not {(len(levels) + 1, width)}")
        self._check_exact()

    def _check_exact(self) -> None:
        fractional = np.zeros(len(self.features), dtype=bool)
        reach = np.zeros(len(self.features))
        for field, weight in zip(self.numeric, self.weights, strict=True):
            reach += np.abs(weight) * BY_NAME[field].maximum
        for table in (self.weights, *self.tables):
            if (table % np.float32(STEP) != 0).any():
                raise EncodingError("a contribution is not a multiple of the encoding's step")
            fractional |= (table % 1 != 0).any(axis=0)
        for table in self.tables:
            reach += np.abs(table).max(axis=0)
        inexact = reach >= np.where(fractional, _EXACT_STEPS * STEP, _EXACT_STEPS)
        if inexact.any():
            raise EncodingError(f"{self.names[int(inexact.argmax())]} is too large to be exact in float32")

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the features, in order."""
        return tuple(feature.name for feature in self.features)

    @property
    def categorical(self) -> tuple[str, ...]:
        """The string fields that the keys use, in the order of an encounter's columns."""
        return tuple(
            sorted({name for key in self.keys for name in key.fields}, key=_COLUMN_ORDER.__getitem__)
        )

    def transform(self, frame: pd.DataFrame) -> Float32Array:
        """Return the features [n, features] of an encounters frame, exact in float32.

        Raise `EncodingError` if the frame lacks a field that the encoding needs.
        """
        absent = [field for field in (*self.numeric, *self.categorical) if field not in frame]
        if absent:
            raise EncodingError(f"the frame lacks {', '.join(absent)}")
        lookups = [Lookup(key, levels) for key, levels in zip(self.keys, self.levels, strict=True)]
        touched = [np.flatnonzero(table.any(axis=0)) for table in self.tables]
        result = np.empty((len(frame), len(self.features)), dtype=np.float32)
        # In chunks, so that the sums stay in the CPU cache and memory use stays flat.
        for start in range(0, len(frame), _CHUNK_ROWS):
            chunk = frame.iloc[start : start + _CHUNK_ROWS]
            columns = np.zeros((len(self.features), len(chunk)), dtype=np.float32)
            for field, weight in zip(self.numeric, self.weights, strict=True):
                values = chunk[field].to_numpy(dtype=np.float32)
                for feature in np.flatnonzero(weight):
                    columns[feature] += values * weight[feature]
            coded = {field: Coded.of(chunk[field]) for field in self.categorical}
            for lookup, table, positions in zip(lookups, self.tables, touched, strict=True):
                rows = lookup.rows(coded)
                for feature in positions:
                    columns[feature] += table[rows, feature]
            result[start : start + len(chunk)] = columns.T
        return result

    def select(self, names: Sequence[str]) -> Self:
        """Return the encoding of the features in `names`, in this order, with only the fields they need."""
        positions = {name: position for position, name in enumerate(self.names)}
        unknown = [name for name in names if name not in positions]
        if unknown:
            raise EncodingError(f"no such feature: {', '.join(unknown)}")
        chosen = [positions[name] for name in names]
        return self.build(
            [self.features[position] for position in chosen],
            dict(zip(self.numeric, self.weights[:, chosen], strict=True)),
            {
                key: (levels, table[:, chosen])
                for key, levels, table in zip(self.keys, self.levels, self.tables, strict=True)
            },
        )

    @classmethod
    def build(
        cls,
        features: Sequence[Feature],
        weights: dict[str, Float32Array],
        tables: dict[Key, tuple[Sequence[str], Float32Array]],
    ) -> Self:
        """Return the encoding in its canonical form.

        `weights` maps an integer field to float32 [features], `tables` a key to its levels and its table as
        in `Encoding`. Fields and keys that add nothing, and levels that add the same as an unknown level, are
        omitted; the rest is sorted.
        """
        numeric = sorted(
            (field for field, row in weights.items() if row.any()), key=_COLUMN_ORDER.__getitem__
        )
        kept: list[tuple[Key, tuple[str, ...], Float32Array]] = []
        for key in sorted(tables, key=str):
            levels, table = tables[key]
            telling = np.flatnonzero((table[:-1] != table[-1]).any(axis=1)).tolist()
            rows = sorted(telling, key=levels.__getitem__)
            if rows or table[-1].any():
                kept.append((key, tuple(levels[row] for row in rows), table[[*rows, -1]].astype(np.float32)))
        no_weights = np.zeros((0, len(features)), dtype=np.float32)
        return cls(
            features=tuple(features),
            numeric=tuple(numeric),
            keys=tuple(key for key, _, _ in kept),
            weights=np.array([weights[field] for field in numeric], dtype=np.float32)
            if numeric
            else no_weights,
            levels=tuple(levels for _, levels, _ in kept),
            tables=tuple(table for _, _, table in kept),
        )

    def to_frame(self) -> pd.DataFrame:
        """Return the numbers as rows: feature, source, level, value. `from_frame` reads them back.

        The source is an integer field or a key as text. The row of an integer field has no level; its value
        is the weight. A key's row without a level is the contribution of unknown levels (0 if there is no
        such row); its other rows are the levels whose contribution differs.
        """
        rows: list[tuple[int, str, str | None, float]] = []
        for field, weight in zip(self.numeric, self.weights, strict=True):
            rows += _cells(field, [None], weight[np.newaxis], np.float32(0))
        for key, levels, table in zip(self.keys, self.levels, self.tables, strict=True):
            rows += _cells(str(key), [None], table[-1:], np.float32(0))
            rows += _cells(str(key), levels, table[:-1], table[-1])
        # Stable: within a feature the rows keep their order, by source, with the unknown level first.
        rows.sort(key=lambda row: row[0])
        names = self.names
        positions, sources, levels_of_rows, values = zip(*rows, strict=True) if rows else ((), (), (), ())
        return pd.DataFrame(
            {
                "feature": pd.array([names[position] for position in positions], dtype="str"),
                "source": pd.array(sources, dtype="str"),
                "level": pd.array(levels_of_rows, dtype="str"),
                "value": np.array(values, dtype=float),
            }
        )

    @classmethod
    def from_frame(cls, features: Sequence[Feature], frame: pd.DataFrame) -> Self:
        """Return the encoding that `to_frame` wrote, for the same features in the same order."""
        positions = {feature.name: position for position, feature in enumerate(features)}
        weights: dict[str, Float32Array] = {}
        tables: dict[Key, tuple[Sequence[str], Float32Array]] = {}
        for name, rows in frame.groupby("source"):
            source = str(name)
            if source in BY_NAME and BY_NAME[source].maximum:
                weights[source] = np.zeros(len(features), dtype=np.float32)
                weights[source][rows["feature"].map(positions)] = rows["value"]
                continue
            has_level = rows["level"].notna()
            levels = sorted(rows.loc[has_level, "level"].unique())
            table = np.zeros((len(levels) + 1, len(features)), dtype=np.float32)
            default = rows[~has_level]
            # Every level starts with the default; the named levels override it.
            table[:, default["feature"].map(positions)] = default["value"]
            known = rows[has_level]
            table[np.searchsorted(levels, known["level"]), known["feature"].map(positions)] = known["value"]
            tables[Key.parse(source)] = (levels, table)
        return cls.build(features, weights, tables)


def _cells(
    source: str, levels: Sequence[str | None], table: Float32Array, silent: Float32Array | np.float32
) -> list[tuple[int, str, str | None, float]]:
    """Return position, source, level and value of a table's cells that differ from the default row."""
    rows, positions = np.nonzero(table != silent)
    values = table[rows, positions].astype(float)
    return [
        (position, source, levels[row], value)
        for row, position, value in zip(rows.tolist(), positions.tolist(), values.tolist(), strict=True)
    ]
