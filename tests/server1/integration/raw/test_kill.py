"""A load that is killed at any point and run again ends in exactly the same tables."""

import random
import signal
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess

import pytest
from pydantic import SecretStr

from readmission_data import databases
from readmission_data.raw import tables
from readmission_data.settings import DataSettings
from support import csv_lines, forks
from support.loading import load

from .conftest import checksums

ROWS = 800
BATCH_SIZE = 40
KILLS = 20


def start(settings: DataSettings, die_at: int | None = None) -> BaseProcess:
    process = forks.PROCESSES.Process(target=load, args=(settings, die_at))
    process.start()
    return process


@pytest.fixture
def dataset(tmp_path) -> str:
    lines = csv_lines.lines(ROWS)
    lines[100] = "torn"
    lines[700] = lines[10]
    lines[750] = lines[20].removesuffix("NO") + "<30"
    return str(csv_lines.write(tmp_path / "d.csv", lines))


@pytest.fixture
def given(settings: Callable[..., DataSettings], dataset) -> DataSettings:
    return settings(dataset=dataset, batch_size=BATCH_SIZE)


@pytest.fixture
def undisturbed(given, tmp_path) -> dict[str, str]:
    """The checksums of an undisturbed run on SQLite."""
    url = f"sqlite:///{tmp_path}/undisturbed.db"
    load(given.model_copy(update={"raw_url": SecretStr(url)}))
    return checksums(url)


def stored(settings: DataSettings) -> dict[str, str]:
    return checksums(settings.raw_url.get_secret_value())


def empty(settings: DataSettings) -> None:
    with databases.engine(settings.raw_url) as engine:
        tables.METADATA.drop_all(engine)


def kill_and_end(
    given: DataSettings, undisturbed: dict[str, str], disturb: Callable[[], BaseProcess]
) -> None:
    """Kill enough loads, then load the rest; the result must be the same tables."""
    kills = 0
    while kills < KILLS:
        process = disturb()
        process.join()
        assert process.exitcode in {0, -signal.SIGKILL}
        kills += process.exitcode == -signal.SIGKILL
        if process.exitcode == 0:
            # It ended before its kill: the next kills hit another run.
            assert stored(given) == undisturbed
            empty(given)
    load(given)
    assert stored(given) == undisturbed


def test_killed_at_random_moments(given, undisturbed):
    chance = random.Random(20)  # noqa: S311 - moments, no secrets
    forks.wait()
    began = time.monotonic()
    whole = start(given)
    whole.join()
    seconds = time.monotonic() - began
    assert stored(given) == undisturbed
    empty(given)

    def disturb() -> BaseProcess:
        process = start(given)
        process.join(chance.uniform(0, seconds / 10))
        process.kill()
        return process

    kill_and_end(given, undisturbed, disturb)


def test_killed_in_the_middle_of_random_statements(given, undisturbed):
    chance = random.Random(21)  # noqa: S311 - moments, no secrets
    kill_and_end(given, undisturbed, lambda: start(given, die_at=chance.randint(1, 40)))
