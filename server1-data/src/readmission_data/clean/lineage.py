"""The origin of the processed tables."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Self

import pandas as pd

from readmission_data.clean.cohort import COHORT_VERSION, SPLIT_VERSION
from readmission_data.raw.ledger import Batch


@dataclass(frozen=True, slots=True)
class SourceBatch:
    """A raw batch that the processed tables contain."""

    batch: int
    dataset_kind: str
    source_sha256: str
    rows_read: int


@dataclass(frozen=True, slots=True)
class Lineage:
    """The raw batches and the rules behind the processed tables.

    It contains no time and no run, so the same batches and rules always have the same lineage.
    """

    sources: tuple[SourceBatch, ...]
    cohort_version: str
    split_version: str
    split_salt_sha256: str
    seed: int

    @classmethod
    def of(cls, batches: Sequence[Batch], split_salt: str, seed: int) -> Self:
        """Return the lineage of tables that are built from the batches now."""
        return cls(
            sources=tuple(
                SourceBatch(batch.batch, batch.dataset_kind, batch.source_sha256, batch.rows_read)
                for batch in batches
            ),
            cohort_version=COHORT_VERSION,
            split_version=SPLIT_VERSION,
            split_salt_sha256=hashlib.sha256(split_salt.encode()).hexdigest(),
            seed=seed,
        )

    @property
    def batches(self) -> tuple[int, ...]:
        """The numbers of the raw batches."""
        return tuple(source.batch for source in self.sources)

    @property
    def dataset(self) -> str:
        """The data set's kind, `uci`, `own` or `synthetic`: one synthetic batch makes all of it synthetic."""
        kinds = {source.dataset_kind for source in self.sources}
        if "synthetic" in kinds:
            return "synthetic"
        return kinds.pop() if len(kinds) == 1 else "own"

    @property
    def dataset_sha256(self) -> str:
        """The source's checksum; for several sources, a checksum of their checksums in order of arrival."""
        checksums = list(dict.fromkeys(source.source_sha256 for source in self.sources))
        if len(checksums) == 1:
            return checksums[0]
        return hashlib.sha256("".join(checksums).encode()).hexdigest()

    def to_frame(self) -> pd.DataFrame:
        """Return one row per batch, each with the rules."""
        rules = {name: value for name, value in asdict(self).items() if name != "sources"}
        return pd.DataFrame([asdict(source) | rules for source in self.sources])

    @classmethod
    def from_frame(cls, frame: pd.DataFrame) -> Self:
        """Return the lineage that `to_frame` wrote."""
        rows = frame.to_dict("records")
        names = SourceBatch.__dataclass_fields__
        rules = {str(name): value for name, value in rows[0].items() if name not in names}
        sources = tuple(SourceBatch(**{name: row[name] for name in names}) for row in rows)
        return cls(sources=sources, **rules)
