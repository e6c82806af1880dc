"""The processed tables of CleanData: their contents, and how to read them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError, ProgrammingError

from readmission_data import bulk
from readmission_data.clean.encoding import Encoding, Feature, FeatureKind
from readmission_data.clean.lineage import Lineage
from readmission_data.errors import ProcessedError
from readmission_data.raw.split import Split

LABEL: Final = "readmitted_30d"

PROCESSED: Final = {split: f"diabetes_{split}_processed" for split in Split}
FEATURE_INFO: Final = "feature_info"
FEATURE_ENCODING: Final = "feature_encoding"
LINEAGE: Final = "processed_lineage"

NAMES: Final = (*PROCESSED.values(), FEATURE_INFO, FEATURE_ENCODING, LINEAGE)
"""All tables of a save; a save replaces them together."""

_MYSQL: Final[dict[str, Any]] = {
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_0900_bin",
    "mysql_engine": "InnoDB",
}
_NAME_LENGTH: Final = 64


@dataclass(frozen=True, slots=True, eq=False)
class Processed:
    """The content of a save.

    train, validation, test: frames of `encounter_id` (int64), `readmitted_30d` (int8, 0 or 1) and the
    features (float32) by rank, one row per encounter, ordered by `encounter_id`. Train's rates are
    cross-fitted, so they differ from `encoding` applied to train.
    feature_info: rank, name, source_column, kind, score. encoding: of these features, by rank.
    """

    train: pd.DataFrame
    validation: pd.DataFrame
    test: pd.DataFrame
    feature_info: pd.DataFrame
    encoding: Encoding
    lineage: Lineage


def define(features: Iterable[Feature], suffix: str = "") -> dict[str, sa.Table]:
    """Return the table definitions for these features by name; the suffix is appended to each name.

    Rates are DOUBLE (MySQL prints a FLOAT with only six digits) and contain the shortest decimal of a
    float32: cast to float32, as in `read_processed`, they are the encoding's own values again. All other
    values are small integers.
    """
    metadata = sa.MetaData()
    columns = [(feature.name, _type(feature)) for feature in features]
    tables = {
        name: sa.Table(
            name + suffix,
            metadata,
            sa.Column("encounter_id", sa.BigInteger, primary_key=True, autoincrement=False),
            sa.Column(LABEL, sa.SmallInteger, nullable=False),
            *(sa.Column(column, kind, nullable=False) for column, kind in columns),
            **_MYSQL,
        )
        for name in PROCESSED.values()
    }
    tables[FEATURE_INFO] = sa.Table(
        FEATURE_INFO + suffix,
        metadata,
        sa.Column("rank", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("name", sa.String(_NAME_LENGTH), nullable=False, unique=True),
        # The fields that the feature is computed from, joined with a plus.
        sa.Column("source_column", sa.String(1000), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("score", sa.Double, nullable=False),
        **_MYSQL,
    )
    tables[FEATURE_ENCODING] = sa.Table(
        FEATURE_ENCODING + suffix,
        metadata,
        sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("feature", sa.String(_NAME_LENGTH), nullable=False),
        # An integer field, or the key of a level table; see `Encoding.to_frame` for rows without a level.
        sa.Column("source", sa.String(255), nullable=False),
        sa.Column("level", sa.String(255)),
        sa.Column("value", sa.Double, nullable=False),
        **_MYSQL,
    )
    tables[LINEAGE] = sa.Table(
        LINEAGE + suffix,
        metadata,
        sa.Column("batch", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("dataset_kind", sa.String(16), nullable=False),
        sa.Column("source_sha256", sa.String(64), nullable=False),
        sa.Column("rows_read", sa.BigInteger, nullable=False),
        sa.Column("cohort_version", sa.String(16), nullable=False),
        sa.Column("split_version", sa.String(16), nullable=False),
        sa.Column("split_salt_sha256", sa.String(64), nullable=False),
        sa.Column("seed", sa.BigInteger, nullable=False),
        **_MYSQL,
    )
    return tables


def _type(feature: Feature) -> sa.types.TypeEngine[Any]:
    return sa.Double() if feature.kind is FeatureKind.RATE else sa.SmallInteger()


def read_lineage(connection: sa.Connection) -> Lineage | None:
    """Return the lineage of the processed tables, or None if nothing was ever saved.

    It takes the same locks as `read_processed`: on MySQL it should be the first read of its transaction.
    """
    if not _hold(connection):
        return None
    return Lineage.from_frame(bulk.read(connection, define(())[LINEAGE]).to_pandas())


def read_processed(connection: sa.Connection) -> Processed:
    """Return all processed tables of one save.

    Pass a connection whose transaction has not read anything yet. A concurrent save waits for the end of the
    transaction (MySQL) or is not visible in it (SQLite). Raise `ProcessedError` if nothing was ever saved.
    """
    lineage = read_lineage(connection)
    if lineage is None:
        raise ProcessedError("CleanData has no processed tables yet: run `preprocess` first")
    feature_info = _read_features(connection)
    features = read_features(feature_info)
    tables = define(features)
    frames = {split: _read_split(connection, tables[name]) for split, name in PROCESSED.items()}
    encoding = bulk.read(connection, tables[FEATURE_ENCODING]).to_pandas()
    return Processed(
        train=frames[Split.TRAIN],
        validation=frames[Split.VALIDATION],
        test=frames[Split.TEST],
        feature_info=feature_info,
        encoding=Encoding.from_frame(features, encoding),
        lineage=lineage,
    )


def read_features(feature_info: pd.DataFrame) -> list[Feature]:
    """Return the features that a `feature_info` frame lists, by rank."""
    ranked = feature_info.sort_values("rank")
    columns = (ranked[column].astype("str").tolist() for column in ("name", "source_column", "kind"))
    return [
        Feature(name, tuple(sources.split("+")), FeatureKind(kind))
        for name, sources, kind in zip(*columns, strict=True)
    ]


def _hold(connection: sa.Connection) -> bool:
    """Lock all tables in one statement, so that MySQL renames none of them before the transaction ends.

    If they were locked one by one, a save between two reads would mix tables of two saves, or cause a
    deadlock. This must therefore be the transaction's first statement: even listing the tables takes a lock.
    Return whether the tables exist.
    """
    touched = (sa.select(sa.literal(1)).select_from(sa.table(name)).where(sa.false()) for name in NAMES)
    try:
        connection.execute(sa.union_all(*touched)).all()
    except (OperationalError, ProgrammingError):
        if set(NAMES) <= set(sa.inspect(connection).get_table_names()):
            raise
        return False
    return True


def _read_features(connection: sa.Connection) -> pd.DataFrame:
    frame: pd.DataFrame = bulk.read(connection, define(())[FEATURE_INFO]).to_pandas()
    return frame


def _read_split(connection: sa.Connection, table: sa.Table) -> pd.DataFrame:
    frame: pd.DataFrame = bulk.read(connection, table).to_pandas()
    kinds = dict.fromkeys(frame.columns, "float32") | {"encounter_id": "int64", LABEL: "int8"}
    return frame.astype(kinds)
