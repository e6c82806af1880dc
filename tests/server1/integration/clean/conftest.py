"""RawData with two batches of a generated sample, on SQLite and on MySQL."""

from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from readmission_data import bulk, databases
from readmission_data.clean import tables
from readmission_data.dataset import synthetic
from readmission_data.raw.checksum import checksum
from readmission_data.raw.load import load_next
from readmission_data.settings import DataSettings


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sample") / "sample.csv"
    synthetic.write(path, encounters=2_400, seed=9)
    return path


def make_settings(folder: Path, sample: Path, raw_url: str, clean_url: str) -> DataSettings:
    return DataSettings(
        dataset=str(sample),
        raw_url=SecretStr(raw_url),
        clean_url=SecretStr(clean_url),
        staging_dir=folder / "staging",
        cache_dir=folder / "cache",
        batch_size=1_200,
    )


@pytest.fixture
def sqlite_settings(tmp_path: Path, sample: Path) -> DataSettings:
    return make_settings(tmp_path, sample, *(f"sqlite:///{tmp_path / name}.db" for name in ("raw", "clean")))


@pytest.fixture
def mysql_settings(tmp_path: Path, sample: Path, new_mysql_database: Callable[[], str]) -> DataSettings:
    return make_settings(tmp_path, sample, new_mysql_database(), new_mysql_database())


@pytest.fixture(params=["sqlite", pytest.param("mysql", marks=pytest.mark.mysql)])
def settings(request: pytest.FixtureRequest) -> DataSettings:
    """Settings of empty databases; the test runs on SQLite and on MySQL."""
    found: DataSettings = request.getfixturevalue(f"{request.param}_settings")
    return found


@pytest.fixture
def loaded(settings: DataSettings) -> DataSettings:
    """The same, with the first of two batches in RawData."""
    load_next(settings)
    return settings


def checksums(settings: DataSettings) -> dict[str, str]:
    """The current checksum of every processed table."""
    with databases.engine(settings.clean_url) as engine, engine.connect() as connection:
        info = bulk.read(connection, tables.define(())[tables.FEATURE_INFO]).to_pandas()
        defined = tables.define(tables.read_features(info))
        return {name: checksum(connection, table) for name, table in defined.items()}


def table_names(settings: DataSettings) -> set[str]:
    with databases.engine(settings.clean_url) as engine, engine.connect() as connection:
        return set(sa.inspect(connection).get_table_names())
