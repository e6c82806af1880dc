"""The three DAGs, run for real: on SQLite and on MySQL."""

import importlib.util
from pathlib import Path

import pytest
from pydantic import SecretStr

from readmission_data import orchestration
from readmission_data.dataset import synthetic
from readmission_data.settings import DataSettings
from readmission_data.status import status

DAGS = Path(__file__).parents[2] / "server1-data" / "dags"
pytestmark = pytest.mark.usefixtures("airflow_metadata")

NAMES = ("load_raw_data", "preprocess_incremental", "train_and_register")


def read_dag(name):
    spec = importlib.util.spec_from_file_location(f"dag_{name}", DAGS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name)()


def run(name, **conf):
    run = read_dag(name).test(run_conf=conf)
    return run, {task.task_id: str(task.state) for task in run.get_task_instances()}


@pytest.fixture
def settings(request, tmp_path, monkeypatch):
    """Settings of a small run: the generated sample in three batches, and a short search."""
    if request.param == "mysql":
        create = request.getfixturevalue("new_mysql_database")
        raw, clean = create(), create()
    else:
        raw, clean = f"sqlite:///{tmp_path / 'raw.db'}", f"sqlite:///{tmp_path / 'clean.db'}"
    sample = tmp_path / "sample.csv"
    synthetic.write(sample, encounters=6_000, seed=7)
    for key, value in {
        "DATASET": str(sample),
        "RAW_URL": raw,
        "CLEAN_URL": clean,
        "STAGING_DIR": str(tmp_path / "staging"),
        "CACHE_DIR": str(tmp_path / "cache"),
        "TRACKING_URI": f"sqlite:///{tmp_path / 'mlflow.db'}",
        "BATCH_SIZE": "1800",
        "SEARCH_TRIALS": "1",
        "BOOTSTRAP_SAMPLES": "100",
    }.items():
        monkeypatch.setenv(f"READMISSION_{key}", value)
    assert DataSettings().raw_url == SecretStr(raw)
    return DataSettings()


@pytest.mark.parametrize("name", NAMES)
def test_each_dag_says_what_it_is(name):
    dag = read_dag(name)
    assert dag.doc_md
    assert "readmission" in dag.tags
    assert dag.max_active_runs == 1
    assert not dag.catchup
    for task in dag.tasks:
        assert task.retries >= 1
        assert task.owner == "readmission-platform"
        assert task.execution_timeout


def test_assets_tie_the_dags_together():
    load, preprocess, train = (read_dag(name) for name in NAMES)
    assert load.get_task("load_batch").outlets == [orchestration.RAW_BATCHES]
    assert preprocess.timetable.asset_condition.objects == (orchestration.RAW_BATCHES,)
    assert preprocess.get_task("save").outlets == [orchestration.PROCESSED_TABLES]
    assert train.timetable.asset_condition.objects == (orchestration.PROCESSED_TABLES,)


@pytest.mark.parametrize(
    "settings", ["sqlite", pytest.param("mysql", marks=pytest.mark.mysql)], indirect=True
)
def test_the_three_dags_bring_a_source_to_a_registered_model(settings):
    _, states = run("load_raw_data", all_batches=False)
    assert states == {"load_batch": "success"}
    assert len(status(settings)["raw"]["batches"]) == 1

    _, states = run("load_raw_data", all_batches=True)
    assert states == {"load_batch": "success"}
    now = status(settings)
    assert sum(now["raw"]["rows"].values()) == 6_000
    assert now["raw"]["patients_in_two_splits"] == 0
    assert not now["current"]

    _, states = run("load_raw_data", all_batches=True)
    assert states == {"load_batch": "skipped"}

    _, states = run("preprocess_incremental")
    assert set(states.values()) == {"success"}
    assert len(states) == 4

    _, states = run("train_and_register")
    assert states == {"train": "success", "register": "success"}
    now = status(settings)
    assert now["current"]
    assert now["model"]["aliases"] == ["production"]
    version = now["model"]["version"]

    # Run twice: the same version, the same aliases.
    run("train_and_register")
    assert status(settings)["model"]["version"] == version
