"""An erased patient is nowhere any more, stays away, and a run that is killed is completed by the next."""

import json
import random
import signal
from pathlib import Path

import mlflow
import pandas as pd
import pytest
import sqlalchemy as sa
from mlflow import MlflowClient
from pydantic import SecretStr

from readmission_data import cli, databases
from readmission_data.clean import tables as clean_tables
from readmission_data.clean import tasks
from readmission_data.dataset import synthetic
from readmission_data.emptying import empty
from readmission_data.encounters.columns import PREDICTORS
from readmission_data.errors import ErasureError, StagingError
from readmission_data.model_version.contract import MODEL_NAME, TRAINING_RUN
from readmission_data.privacy import erasure
from readmission_data.raw import load, tables, tombstones
from readmission_data.settings import DataSettings
from readmission_data.training import ledger
from support import csv_lines, killing

PATIENT = 88_123_456_701
ENCOUNTERS = (77_123_456_701, 77_123_456_702)
LOG = ("predictions", "outcomes", "outcome_corrections", "loaded_slices")
CONTRACT = Path(__file__).parents[4] / "docs/contracts/prediction_log.sql"
KILLS = 4


@pytest.fixture(scope="session")
def sample(tmp_path_factory):
    """A data set with a patient's two encounters and two broken rows that name the patient."""
    path = tmp_path_factory.mktemp("sample") / "d.csv"
    synthetic.write(path, encounters=1_000, seed=3)
    with path.open("a") as file:
        for encounter, age in zip(ENCOUNTERS, ("[40-50)", "[50-60)"), strict=True):
            file.write(csv_lines.line(encounter, PATIENT, age=age, diag_1="250") + "\n")
        file.write(csv_lines.line(9_000_003, PATIENT, gender="wrong") + "\n")
        file.write(f"torn,{PATIENT},Caucasian\n")
        file.write("torn,1,Caucasian\n")
    return path


@pytest.fixture(scope="session")
def empty_mlflow(tmp_path_factory):
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path.read_bytes()


@pytest.fixture
def settings(database_url, sample, empty_mlflow, tmp_path):
    """RawData, CleanData and a prediction log in one database, filled."""
    (tmp_path / "mlflow.db").write_bytes(empty_mlflow)
    found = DataSettings(
        dataset=str(sample),
        raw_url=database_url,
        clean_url=database_url,
        prediction_log_url=database_url,
        tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}",
        staging_dir=tmp_path / "staging",
        cache_dir=tmp_path / "cache",
        erasure_key="k" * 32,
        batch_size=100_000,
    )
    list(load.load_all(found))
    tasks.preprocess(found, "before")
    fill_log(found)
    return found


def fill_log(settings):
    """Predict both encounters, as server 3 logs them, and somebody else."""
    with databases.engine(settings.raw_url) as engine, engine.begin() as connection:
        text = CONTRACT.read_text()
        if engine.dialect.name == "mysql":
            text = text.replace("AUTOINCREMENT", "AUTO_INCREMENT")
        lines = [line.partition("--")[0] for line in text.splitlines()]
        for statement in "\n".join(lines).split(";"):
            if statement.strip():
                connection.exec_driver_sql(statement)
        names = [column.name for column in PREDICTORS]
        mine = inputs(connection, names, tables.ENCOUNTERS.values(), ENCOUNTERS)
        log = [("r-1", 0, mine[0]), ("r-1", 1, mine[1] | {"age": "[0-10)"}), ("r-2", 0, mine[1])]
        # As another client writes it.
        log.append(("r-3", 0, mine[0] | {"diag_1": "250.00", "time_in_hospital": 3.0}))
        for request, number, fields in log:
            log_one(connection, request, number, json.dumps(fields))


def log_one(connection, request, number, fields):
    given = {"r": request, "n": number, "i": fields}
    connection.execute(
        sa.text(
            "INSERT INTO predictions (request_id, number, predicted_at, model, version, probability, "
            "class, inputs) VALUES (:r, :n, '2026-01-01', 'm', '1', 0.1, 0, :i)"
        ),
        given,
    )
    connection.execute(
        sa.text(
            "INSERT INTO outcomes (request_id, number, readmitted, received_at) "
            "VALUES (:r, :n, 1, '2026-01-01')"
        ),
        given,
    )
    connection.execute(
        sa.text(
            "INSERT INTO outcome_corrections (request_id, number, readmitted_before, received_before, "
            "readmitted, received_at, corrected_by) VALUES (:r, :n, 0, '2026-01-01', 1, '2026-01-02', 'c')"
        ),
        given,
    )


def inputs(connection, names, known, encounters):
    found = {}
    for table in known:
        for row in connection.execute(
            sa.select(table).where(table.c.encounter_id.in_(encounters))
        ).mappings():
            found[row["encounter_id"]] = {name: "?" if row[name] is None else row[name] for name in names}
    return [found[encounter] for encounter in encounters]


def state(settings):
    """Return all rows of all tables that hold patients."""
    names = [table.name for table in tables.METADATA.sorted_tables if table.name != "batch_info"]
    names += [*clean_tables.PROCESSED.values(), "predictions", "outcomes"]
    with databases.engine(settings.raw_url) as engine, engine.connect() as connection:
        there = set(sa.inspect(connection).get_table_names())
        return {
            name: sorted(map(repr, connection.execute(sa.text(f"SELECT * FROM {name}"))))
            for name in names
            if name in there
        }


def named(settings):
    """Return the tables in which the patient or one of the encounters is named."""
    words = (str(PATIENT), *map(str, ENCOUNTERS))
    return {
        name for name, rows in state(settings).items() if any(word in row for row in rows for word in words)
    }


def requests(settings):
    with databases.engine(settings.raw_url) as engine, engine.connect() as connection:
        return {
            name: [
                tuple(row) for row in connection.execute(sa.text(f"SELECT request_id, number FROM {name}"))
            ]
            for name in ("predictions", "outcomes", "outcome_corrections")
        }


def test_an_erased_patient_is_nowhere_and_does_not_come_back(settings, tmp_path):
    before = named(settings)
    assert {"rejected_rows"} < before
    assert any(name.endswith("_processed") for name in before)
    report = erasure.erase(settings, PATIENT)
    assert (report.raw, report.rejected, report.clean) == (2, 2, 2)
    assert (report.predictions, report.outcomes) == (3, 3)
    assert report.batches == (1,)
    assert named(settings) == set()
    # Another's prediction stays, and so does the broken row of somebody else.
    assert requests(settings) == {name: [("r-1", 1)] for name in LOG[:3]}
    assert len(state(settings)["rejected_rows"]) == 1
    assert str(PATIENT) not in json.dumps(report.tombstones)
    # The next delivery brings the patient again, whole and in broken rows, and it leaves no trace.
    again = tmp_path / "again.csv"
    rows = [csv_lines.line(8_000_000, PATIENT), csv_lines.line(8_000_001, 12), f"{PATIENT},torn"]
    rows.append(csv_lines.line(8_000_002, PATIENT, gender="wrong"))
    csv_lines.write(again, rows)
    (result,) = load.load_all(settings.model_copy(update={"dataset": str(again)}))
    assert (result.rows_read, result.loaded, result.known, result.rejected) == (4, 1, 3, 0)
    tasks.preprocess(settings, "after")
    assert named(settings) == set()
    # Neither do emptied databases bring anybody back, nor does a new key behind which the old one stays.
    empty(settings)
    rotated = settings.model_copy(update={"erasure_key": SecretStr(f"{'n' * 32},{'k' * 32}")})
    list(load.load_all(rotated))
    assert named(settings) == set()
    assert erasure.erase(settings, PATIENT).raw == 0


def test_after_a_restore_tombstones_are_applied_again(settings):
    erasure.erase(settings, PATIENT)
    with databases.engine(settings.raw_url) as engine:
        with engine.begin() as connection:
            stones = connection.execute(sa.select(tombstones.TOMBSTONES)).mappings().all()
            for table in (*LOG, *clean_tables.NAMES, "tombstones"):
                connection.exec_driver_sql(f"DROP TABLE {table}")
            tables.METADATA.drop_all(connection)
        list(load.load_all(settings))
        tasks.preprocess(settings, "before")
        fill_log(settings)
        assert named(settings)
        with engine.begin() as connection:
            tombstones.create(connection)
            connection.execute(sa.insert(tombstones.TOMBSTONES), [dict(row) for row in stones])
    report = erasure.apply(settings)
    assert (report.raw, report.rejected, report.clean, report.predictions) == (2, 2, 2, 3)
    assert named(settings) == set()


def test_predictions_that_reach_the_log_later_are_known_by_their_fields(settings):
    """They waited in server 3's spool while the log was cleared; RawData no longer says whose they are."""
    with databases.engine(settings.raw_url) as engine, engine.connect() as connection:
        late = connection.execute(sa.text("SELECT inputs FROM predictions WHERE request_id = 'r-2'")).scalar()
    erasure.erase(settings, PATIENT)
    with databases.engine(settings.raw_url) as engine, engine.begin() as connection:
        log_one(connection, "r-9", 0, late)
    assert erasure.apply(settings).predictions == 1
    assert requests(settings)["predictions"] == [("r-1", 1)]


def test_a_request_can_be_named(settings):
    report = erasure.erase(settings, 5, frozenset({"r-1"}))
    assert (report.predictions, report.outcomes) == (2, 2)
    assert requests(settings)["predictions"] == [("r-2", 0), ("r-3", 0)]


def test_an_erasure_that_is_killed_is_completed_by_the_next(settings):
    statements = killing.count_statements(erasure.erase, settings, 5)
    undisturbed = None
    chance = random.Random(7)  # noqa: S311 - moments, no secrets
    moments = sorted(chance.sample(range(1, statements + 8), KILLS))
    for at in moments:
        process = killing.start_and_die(at, erasure.erase, settings, PATIENT)
        process.join()
        assert process.exitcode in {0, -signal.SIGKILL}
        erasure.erase(settings, PATIENT)
        assert named(settings) == set()
        undisturbed = undisturbed or state(settings)
        assert state(settings) == undisturbed
        refill(settings)


def refill(settings):
    """Bring everything back as it was before the erasure."""
    with databases.engine(settings.raw_url) as engine, engine.begin() as connection:
        for table in (*LOG, *clean_tables.NAMES):
            connection.exec_driver_sql(f"DROP TABLE {table}")
        tables.METADATA.drop_all(connection)
        tombstones.METADATA.drop_all(connection)
    list(load.load_all(settings))
    tasks.preprocess(settings, "before")
    fill_log(settings)


def test_a_run_that_read_the_patient_does_not_bring_the_patient_back(settings):
    stage = tasks.select_features(settings, tasks.clean(settings, tasks.load(settings, "running")))
    kept = {path: path.read_bytes() for path in Path(stage.folder).rglob("*") if path.is_file()}
    erasure.erase(settings, PATIENT)
    with pytest.raises(StagingError):
        tasks.save(settings, stage)
    # Even if its files were still there.
    for path, content in kept.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    with pytest.raises(StagingError, match="a patient was erased meanwhile"):
        tasks.save(settings, stage)
    assert named(settings) == set()


def test_artifacts_lose_the_rows_and_versions_are_listed(settings):
    mlflow.set_tracking_uri(settings.tracking_uri)
    client = MlflowClient(settings.tracking_uri)
    experiment = ledger.experiment(client, settings.tracking_uri)
    client.create_registered_model(MODEL_NAME)
    for batches in ("1", "2,3", "1,2"):
        run = client.create_run(experiment)
        client.log_param(run.info.run_id, "batches", batches)
        tags = {TRAINING_RUN: run.info.run_id}
        client.create_model_version(MODEL_NAME, "file:///none", run_id=run.info.run_id, tags=tags)
    frame = pd.DataFrame({"encounter_id": [1, *ENCOUNTERS], "score": [0.1, 0.2, 0.3]})
    path = Path(settings.cache_dir) / "test.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.to_parquet(path, index=False)
    client.log_artifact(run.info.run_id, str(path), "scores")
    report = erasure.erase(settings, PATIENT)
    assert report.trained_versions == ("1", "3")
    assert report.artifacts == 2
    left = client.download_artifacts(run.info.run_id, "scores/test.parquet", str(settings.cache_dir))
    assert pd.read_parquet(left)["encounter_id"].tolist() == [1]


def test_without_the_key_nobody_is_erased_and_nobody_loaded_again(settings, monkeypatch, capsys):
    lost = settings.model_copy(update={"erasure_key": None})
    with pytest.raises(ErasureError, match="READMISSION_ERASURE_KEY is not set"):
        erasure.erase(lost, PATIENT)
    erasure.erase(settings, PATIENT)
    with pytest.raises(ErasureError, match="READMISSION_ERASURE_KEY is not set"):
        list(load.load_all(lost))
    for name in ("raw_url", "clean_url"):
        value = getattr(settings, name).get_secret_value()
        monkeypatch.setenv(f"READMISSION_{name.upper()}", value)
    assert cli.main(["erase", "--patient", str(PATIENT)]) == 2
    assert str(PATIENT) not in capsys.readouterr().err
