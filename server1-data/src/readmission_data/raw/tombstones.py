"""What is left of erased patients: keyed hashes, by which a load knows them again and drops their rows.

The tables are not part of `raw.tables.METADATA`: emptying RawData must not bring anybody back.
"""

import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from readmission_data.errors import ErasureError
from readmission_data.settings import DataSettings

METADATA: Final = sa.MetaData()

_MOMENT: Final = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql")
_MYSQL: Final[dict[str, Any]] = {"mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_0900_bin"}


class Of(StrEnum):
    """What a tombstone is the hash of: a patient's number, or the fields of a prediction."""

    PATIENT = "patient"
    INPUTS = "inputs"


TOMBSTONES: Final = sa.Table(
    "tombstones",
    METADATA,
    sa.Column("tombstone", sa.String(64), primary_key=True),
    sa.Column("kind", sa.String(8), nullable=False),
    # UTC.
    sa.Column("erased_at", _MOMENT, nullable=False),
    **_MYSQL,
)

REPORTS: Final = sa.Table(
    "erasure_reports",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("written_at", _MOMENT, nullable=False),
    # What an erasure removed, as JSON: counts and tombstones.
    sa.Column("report", sa.Text, nullable=False),
    **_MYSQL,
)

_NUMBER: Final = re.compile(rb"[1-9][0-9]*")


def erasure_keys(settings: DataSettings) -> tuple[bytes, ...]:
    """Return the keys of the hashes, the newest first; raise `ErasureError` if none is set."""
    if settings.erasure_key is None:
        raise ErasureError(
            "READMISSION_ERASURE_KEY is not set; without it nobody knows erased patients again"
        )
    return tuple(settings.erasure_key.get_secret_value().encode().split(b","))


def keyed_hash(key: bytes, kind: Of, text: str) -> str:
    """Return the tombstone of a patient's number or of a prediction's fields, in hexadecimal."""
    return hmac.new(key, f"{kind}:{text}".encode(), hashlib.sha256).hexdigest()


@dataclass(frozen=True, slots=True)
class Erased:
    """The patients that a load must not take."""

    keys: tuple[bytes, ...] = ()
    patients: frozenset[str] = frozenset()

    def holds(self, patient: int) -> bool:
        """Return whether a patient was erased."""
        return self._holds(str(patient))

    def mask(self, patients: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Return for n patients' numbers which of them were erased [n]."""
        if not self.patients:
            return np.zeros(len(patients), dtype=np.bool_)
        unique, positions = np.unique(patients, return_inverse=True)
        found = np.fromiter((self.holds(patient) for patient in unique.tolist()), dtype=np.bool_)
        mask: npt.NDArray[np.bool_] = found[positions]
        return mask

    def named_in(self, line: bytes) -> bool:
        """Return whether a rejected line contains the number of an erased patient."""
        return any(self._holds(digits.decode()) for digits in _NUMBER.findall(line))

    def _holds(self, patient: str) -> bool:
        return bool(self.patients) and any(
            keyed_hash(key, Of.PATIENT, patient) in self.patients for key in self.keys
        )


def create(connection: sa.Connection) -> None:
    """Create the table if it does not exist."""
    METADATA.create_all(connection)


def read(connection: sa.Connection, kind: Of) -> frozenset[str]:
    """Return the tombstones of one kind; none if nobody was ever erased."""
    if not sa.inspect(connection).has_table(TOMBSTONES.name):
        return frozenset()
    query = sa.select(TOMBSTONES.c.tombstone).where(TOMBSTONES.c.kind == kind)
    return frozenset(connection.execute(query).scalars())


def erased(connection: sa.Connection, settings: DataSettings) -> Erased:
    """Return who must not be loaded; raise `ErasureError` if there are tombstones but no key."""
    patients = read(connection, Of.PATIENT)
    return Erased(erasure_keys(settings), patients) if patients else Erased()


def add(connection: sa.Connection, kind: Of, tombstones: Iterable[str]) -> None:
    """Add tombstones, except those that are there already."""
    now = datetime.now(UTC).replace(tzinfo=None)
    there = read(connection, kind)
    rows = [
        {"tombstone": one, "kind": str(kind), "erased_at": now} for one in sorted(set(tombstones) - there)
    ]
    if rows:
        connection.execute(sa.insert(TOMBSTONES), rows)
