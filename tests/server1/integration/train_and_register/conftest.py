"""The two tasks of `train_and_register` as they are deployed: CleanData and MLflow's metadata on MySQL."""

import itertools
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from readmission_data.clean import tasks
from readmission_data.dataset import synthetic
from readmission_data.dataset.inspection import SYNTHETIC_PREFIX
from readmission_data.raw.load import load_all
from readmission_data.settings import DataSettings
from readmission_data.tracking import connect
from readmission_data.training import ledger
from support import forks, mysql, tracking

ENCOUNTERS = 1_500


@pytest.fixture(scope="session")
def _starting(
    mysql_server: mysql.Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tracking.TrackingServer]:
    # It takes seconds to start, as does the fork server: both start while the data is prepared.
    forks.warm_up()
    # The binary log is on, and MLflow's migrations make a trigger: the same setting as on server 2.
    mysql_server.execute("SET GLOBAL log_bin_trust_function_creators = ON")
    try:
        server = tracking.start(tmp_path_factory.mktemp("tracking"), mysql_server.create_database("mlflow"))
    except tracking.TrackingUnavailableError as error:
        pytest.fail(str(error), pytrace=False) if os.environ.get("CI") else pytest.skip(str(error))
    yield server
    server.stop()
    mysql_server.drop_database("mlflow")


@pytest.fixture(scope="session")
def prepared(
    _starting: tracking.TrackingServer, mysql_server: mysql.Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, DataSettings]]:
    """Settings by kind: `synthetic` (on SQLite), and `own` (on MySQL, as if a hospital had sent it)."""
    folder = tmp_path_factory.mktemp("data")
    sample, own = folder / "synthetic.csv", folder / "own.csv"
    synthetic.write(sample, ENCOUNTERS, seed=5)
    # Nothing but its numbers tells a generated encounter from a real one.
    own.write_bytes(sample.read_bytes().replace(SYNTHETIC_PREFIX.encode(), b"12345678"))
    names = ("kills_raw", "kills_clean")
    urls = [mysql_server.create_database(name) for name in names]
    found = {
        "synthetic": _prepare(
            folder, sample, *(f"sqlite:///{folder / name}.db" for name in ("raw", "clean"))
        ),
        "own": _prepare(folder, own, *urls),
    }
    yield found
    for name in names:
        mysql_server.drop_database(name)


def _prepare(folder: Path, csv: Path, raw_url: str, clean_url: str) -> DataSettings:
    settings = DataSettings(
        dataset=str(csv),
        raw_url=SecretStr(raw_url),
        clean_url=SecretStr(clean_url),
        staging_dir=folder / "staging",
        cache_dir=folder / "cache",
        candidates=("logistic_regression",),
        search_trials=1,
        bootstrap_samples=100,
        git_commit="0123abcd",
    )
    list(load_all(settings))
    tasks.preprocess(settings, csv.stem)
    return settings


@pytest.fixture(scope="session")
def server(_starting: tracking.TrackingServer) -> tracking.TrackingServer:
    """The tracking server, ready for requests."""
    _starting.wait()
    return _starting


_numbers = itertools.count(1)


def put_aside(settings: DataSettings) -> None:
    """Rename the training experiment, so that the next training finds an MLflow without one."""
    client = connect(settings)
    found = client.get_experiment_by_name(ledger.EXPERIMENT)
    if found:
        client.rename_experiment(found.experiment_id, f"put aside {next(_numbers)}")


@pytest.fixture
def settled(server: tracking.TrackingServer, mysql_server: mysql.Server) -> Callable[[], None]:
    """A function for after a kill: it returns when the server has finished the dead process's requests.

    Airflow waits 30 seconds before it tries again. Here the state is known: no thread of the server runs, and
    none of its connections is in a statement or a transaction.
    """
    busy = (
        "SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'mlflow' AND command <> 'Sleep' "
        "UNION ALL SELECT COUNT(*) FROM information_schema.innodb_trx"
    )

    def wait() -> None:
        quiet = 0
        while quiet < 3:
            time.sleep(0.01)
            working = server.busy() or mysql_server.query(busy) != ["0", "0"]
            quiet = 0 if working else quiet + 1

    return wait
