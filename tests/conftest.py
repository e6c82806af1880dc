"""Fixtures of all servers' tests: a real MySQL server, and the real data set."""

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support import mysql

CHECKOUT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def mysql_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[mysql.Server]:
    """A real MySQL server, one per test session. If it is missing, CI fails and other runs skip."""
    folder = tmp_path_factory.mktemp("mysql")
    try:
        server = mysql.start(folder, with_parent=True)
    except mysql.MySQLUnavailableError as error:
        if os.environ.get("CI"):
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))
    yield server
    mysql.stop(folder)


_numbers = itertools.count(1)


@pytest.fixture
def new_mysql_database(mysql_server: mysql.Server) -> Iterator[Callable[[], str]]:
    """A function that returns the URL of an empty database, whose user has rights on nothing else."""
    names = []

    def create() -> str:
        names.append(f"t{next(_numbers)}")
        return mysql_server.create_database(names[-1])

    yield create
    for name in names:
        mysql_server.drop_database(name)


@pytest.fixture
def mysql_url(new_mysql_database: Callable[[], str]) -> str:
    """The URL of an empty MySQL database for this test."""
    return new_mysql_database()


@pytest.fixture(params=["sqlite", pytest.param("mysql", marks=pytest.mark.mysql)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database: the test runs once on SQLite and once on MySQL."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'test.db'}"
    url: str = request.getfixturevalue("mysql_url")
    return url


@pytest.fixture(scope="session")
def real_dataset() -> Path:
    """The archive of the real data set. If it is missing, CI fails and other runs skip."""
    given = os.environ.get("READMISSION_DATASET")
    places = [Path(given)] if given else [CHECKOUT / "data", CHECKOUT.parent / "shared" / "data"]
    for place in places:
        found = [place] if place.is_file() else sorted(place.glob("*.zip")) + sorted(place.glob("*.csv"))
        if found:
            return found[0]
    message = f"the real data set is not in {' or '.join(str(place) for place in places)}"
    if os.environ.get("CI"):
        pytest.fail(message, pytrace=False)
    return pytest.skip(message)
