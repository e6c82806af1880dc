"""The nightly cleanups with real Airflow, MLflow and stores: what they remove, and what they keep."""

import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from mlflow import MlflowClient

from support import mysql, tracking

CHECKOUT = Path(__file__).parents[2]
AIRFLOW = CHECKOUT / "server1-data" / "deploy" / "airflow" / "cleanup.sh"
MLFLOW = CHECKOUT / "server2-tracking" / "deploy" / "mlflow" / "cleanup.py"
DAY = 86_400


@pytest.fixture(scope="module")
def airflow(tmp_path_factory):
    """Return the environment of an Airflow with its own migrated database."""
    folder = tmp_path_factory.mktemp("airflow")
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "AIRFLOW_HOME": str(folder),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{folder / 'airflow.db'}",
        "LOGS": str(folder / "task-logs"),
        "KEEP_DAYS": "90",
    }
    subprocess.run(["airflow", "db", "migrate"], env=environment, check=True, stdout=subprocess.DEVNULL)
    return environment


def test_airflow_loses_what_is_too_old(airflow):
    logs = Path(airflow["LOGS"])
    database = sqlite3.connect(Path(airflow["AIRFLOW_HOME"]) / "airflow.db")
    for days in (200, 91, 89, 0):
        when = datetime.now(UTC) - timedelta(days=days)
        log = logs / f"run_id={days}" / "attempt=1.log"
        log.parent.mkdir(parents=True)
        log.write_text("a line")
        for path in (log, log.parent):
            os.utime(path, (when.timestamp(), when.timestamp()))
        with database:
            database.execute(
                "INSERT INTO log (dttm, event) VALUES (?, ?)", (f"{when:%Y-%m-%d %H:%M:%S.%f}", f"{days}")
            )
    ran = subprocess.run(["bash", AIRFLOW], env=airflow, check=False, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-3000:]
    with closing(database):
        kept = {event for (event,) in database.execute("SELECT event FROM log")}
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
    assert kept >= {"89", "0"}
    assert kept.isdisjoint({"200", "91"})
    # Rows that are kept in an archive would grow all the same.
    assert not any("_deleted" in name for name in tables)
    assert {path.parent.name for path in logs.rglob("*.log")} == {"run_id=89", "run_id=0"}


def test_airflow_says_when_a_table_could_not_be_cleaned(airflow):
    with closing(sqlite3.connect(Path(airflow["AIRFLOW_HOME"]) / "airflow.db")) as database, database:
        database.execute("INSERT INTO log (dttm, event) VALUES ('2020-01-01 00:00:00.000000', 'old')")
        database.execute(
            "CREATE TRIGGER refuse BEFORE DELETE ON log BEGIN SELECT RAISE(ABORT, 'not this table'); END"
        )
    Path(airflow["LOGS"]).mkdir(exist_ok=True)
    ran = subprocess.run(["bash", AIRFLOW], env=airflow, check=False, capture_output=True, text=True)
    assert ran.returncode != 0


@pytest.fixture
def server(tmp_path, mysql_server: mysql.Server):
    """Return an MLflow server on MySQL that proxies its artifacts, and its database."""
    store = mysql_server.create_database("cleanup")
    # As deployed: MLflow's migrations create a trigger.
    mysql_server.execute("SET GLOBAL log_bin_trust_function_creators = ON")
    running = tracking.start(tmp_path, store)
    running.wait()
    yield running, store
    running.stop()
    mysql_server.drop_database("cleanup")


@pytest.mark.mysql
def test_mlflow_loses_old_runs_that_no_version_needs(server, tmp_path, monkeypatch):
    running, store = server
    monkeypatch.setenv("MLFLOW_TRACKING_URI", running.address)
    client = MlflowClient()
    place = client.create_experiment("training")
    names = {}

    def run(name, days, parent=None):
        ended = int((time.time() - days * DAY) * 1000)
        tags = {} if parent is None else {"mlflow.parentRunId": names[parent]}
        made = client.create_run(place, start_time=ended, run_name=name, tags=tags)
        client.log_text(made.info.run_id, "a plot", "plot.txt")
        client.set_terminated(made.info.run_id, end_time=ended)
        names[name] = made.info.run_id
        return made.info.run_id

    run("training", 200)
    best = run("best", 200, "training")
    run("other", 200, "training")
    run("young", 170)
    models = {
        name: client.create_logged_model(place, name=name, source_run_id=names[name]).model_id
        for name in ("best", "other")
    }
    client.create_registered_model("readmission")
    client.create_model_version(
        "readmission", f"models:/{models['best']}", run_id=best, model_id=models["best"]
    )
    client.delete_run(run("by hand", 1))
    client.delete_run(best)

    def clean(deleted_days):
        ran = subprocess.run(
            [CHECKOUT / ".venvs" / "tracking" / "bin" / "python", MLFLOW],
            env={
                **os.environ,
                "MLFLOW_BACKEND_STORE_URI": store,
                "RUN_KEEP_DAYS": "180",
                "DELETED_KEEP_DAYS": deleted_days,
            },
            check=False,
            capture_output=True,
            text=True,
        )
        assert ran.returncode == 0, ran.stderr[-3000:]
        return ran.stdout

    def stages():
        found = client.search_runs([place], run_view_type=3)
        return {one.info.run_name: one.info.lifecycle_stage for one in found}

    assert "deleted 1 of 5 runs" in clean("30")
    needed = {"training": "active", "best": "active", "young": "active"}
    assert stages() == needed | {"other": "deleted", "by hand": "deleted"}
    clean("0")
    assert stages() == needed
    assert [one.model_id for one in client.search_logged_models([place])] == [models["best"]]
    kept = {path.parent.parent.name for path in (tmp_path / "artifacts").rglob("plot.txt")}
    assert kept == {names[name] for name in needed}
