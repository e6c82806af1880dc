"""One training at a time, on SQLite and on MySQL."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from readmission_data import databases
from readmission_data.errors import DatabaseError, TrainingUnderWayError
from readmission_data.settings import DataSettings
from readmission_data.training.lock import one_training

HOLD = """
import sys
from readmission_data.settings import DataSettings
from readmission_data.training.lock import one_training

with one_training(DataSettings()):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> DataSettings:
    return DataSettings(clean_url=SecretStr(database_url), staging_dir=tmp_path)


@pytest.fixture
def other_process(settings: DataSettings) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD],
        env=os.environ | {"READMISSION_CLEAN_URL": settings.clean_url.get_secret_value()},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_the_second_is_refused_by_name_and_free_once_the_first_is_killed(
    settings: DataSettings,
    other_process: subprocess.Popen[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(databases, "LOCK_SECONDS", 1)
    with (
        pytest.raises((TrainingUnderWayError, DatabaseError), match=r"training.* 1 s"),
        one_training(settings),
    ):
        pytest.fail("two trainings at once")
    # CleanData itself stays free while a training runs.
    with databases.engine(settings.clean_url) as engine, engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE written_meanwhile (number INTEGER)"))
    other_process.kill()
    other_process.wait()
    monkeypatch.setattr(databases, "LOCK_SECONDS", 60)
    with one_training(settings):
        pass
