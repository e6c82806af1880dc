"""Each notebook runs from top to bottom in a real kernel, and stops if a rule is violated."""

import sqlite3

import pytest
from mlflow import MlflowClient

from readmission_data.errors import CheckError, MonitoringError
from server1.notebooks.support.running import outputs, pictures, run_script, said

FIRST = "encounter_id = (SELECT min(encounter_id) FROM test_data)"


def change(path, *statements):
    with sqlite3.connect(path) as connection:
        for statement in statements:
            assert connection.execute(statement).rowcount > 0
    connection.close()


def count(path, table):
    with sqlite3.connect(path) as connection:
        (rows,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    connection.close()
    return rows


def test_each_ran_to_its_end_without_a_warning(machine):
    for name, notebook in machine.notebooks.items():
        code = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source]
        assert all(cell.execution_count for cell in code), name
        noise = [output.text for output in outputs(notebook) if output.get("name") == "stderr"]
        assert not [text for text in noise if "Warning" in text], name


def test_01_loads_batch_by_batch_and_tells_what_was_refused(machine):
    notebook = machine.notebooks["01_load_raw_data"]
    text = said(notebook)
    assert "nothing is removed" in text
    assert "3,000 rows read in 3 batches, all accounted for" in text
    assert "gender: " in text
    assert pictures(notebook) == 4
    splits = ("train_data", "validation_data", "test_data")
    assert sum(count(machine.folder / "raw.db", table) for table in splits) == 2_999


def test_01_empties_both_databases_only_when_told(copy, monkeypatch, capsys):
    given = copy.settings | {"READMISSION_EMPTY_DATABASES": "true"}
    run_script("01_load_raw_data", given, monkeypatch)
    assert "1 of rejected_rows" in capsys.readouterr().out
    assert count(copy.folder / "raw.db", "batch_info") == 3
    with sqlite3.connect(copy.folder / "clean.db") as connection:
        assert connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall() == []
    connection.close()


def test_01_stops_where_the_tables_lack_a_row(copy, monkeypatch):
    change(copy.folder / "raw.db", f"DELETE FROM test_data WHERE {FIRST}")
    with pytest.raises(AssertionError, match="test_data does not hold what the ledger says"):
        run_script("01_load_raw_data", copy.settings, monkeypatch)


def test_02_holds_every_rule_up(machine):
    notebook = machine.notebooks["02_verify_preprocessing"]
    text = said(notebook)
    assert "preprocessed: " in text
    assert text.count("held: ") == 4
    assert "held: 50 features, no missing value" in text
    assert pictures(notebook) == 3


@pytest.mark.parametrize(
    ("database", "statement", "error", "told"),
    [
        (
            "raw.db",
            f"UPDATE test_data SET patient_nbr = (SELECT min(patient_nbr) FROM train_data) WHERE {FIRST}",
            CheckError,
            "1 patients are in two splits",
        ),
        (
            "raw.db",
            "UPDATE test_data SET patient_nbr = patient_nbr + 1000000000",
            AssertionError,
            "test holds patients of another split",
        ),
        (
            "clean.db",
            "DELETE FROM diabetes_test_processed WHERE rowid = 1 OR readmitted_30d = 1",
            AssertionError,
            "test is not the cohort",
        ),
        (
            "clean.db",
            "UPDATE diabetes_validation_processed SET readmitted_30d = 1 - readmitted_30d",
            AssertionError,
            "validation has labels that RawData does not have",
        ),
        (
            "clean.db",
            "UPDATE diabetes_validation_processed SET number_inpatient = number_inpatient + 1",
            AssertionError,
            "validation was encoded otherwise",
        ),
        (
            "clean.db",
            "UPDATE processed_lineage SET source_sha256 = 'another'",
            AssertionError,
            "the ledger tells of other sources",
        ),
    ],
)
def test_02_stops_at_a_broken_rule(copy, monkeypatch, database, statement, error, told):
    change(copy.folder / database, statement)
    with pytest.raises(error, match=told):
        run_script("02_verify_preprocessing", copy.settings, monkeypatch)


def test_03_leaves_its_models_in_the_experiment(machine):
    notebook = machine.notebooks["03_experiments"]
    assert "SYNTHETIC DATA" in said(notebook)
    assert pictures(notebook) == 4
    client = MlflowClient(machine.settings["READMISSION_TRACKING_URI"])
    experiment = client.get_experiment_by_name("diabetes_readmission_experiments")
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    assert set(runs) == {
        f"SYNTHETIC-{name}"
        for name in (
            *("models", "logistic_regression", "lightgbm", "naive_bayes", "extra_trees", "same_risk_for_all"),
            *("learning_curve", "three_classes", "three_classes-logistic_regression"),
            *("three_classes-lightgbm", "three_classes-always_the_commonest"),
        )
    }
    dummy = runs["SYNTHETIC-same_risk_for_all"].data.metrics
    assert dummy["validation_roc_auc"] == 0.5
    assert runs["SYNTHETIC-lightgbm"].data.metrics["validation_roc_auc"] > 0.55
    curve = client.get_metric_history(runs["SYNTHETIC-learning_curve"].info.run_id, "train_rows")
    assert [point.step for point in curve] == [1, 2, 3]
    assert sorted(point.value for point in curve) == [point.value for point in curve]
    f1 = {
        name: run.data.metrics["validation_weighted_f1"]
        for name, run in runs.items()
        if "three_classes-" in name
    }
    assert min(f1, key=f1.__getitem__) == "SYNTHETIC-three_classes-always_the_commonest"


def test_04_sees_the_shift_and_the_outcomes(machine):
    notebook = machine.notebooks["04_monitoring"]
    text = said(notebook)
    assert "version 1: 900 predictions, 450 outcomes" in text
    assert "held: 900 risks" in text
    assert "ROC AUC over outcomes" in text
    assert pictures(notebook) == 6


def test_04_finds_drift_in_the_shifted_fields_alone(machine, monkeypatch):
    found = run_script("04_monitoring", machine.settings, monkeypatch)
    over_time, shifted = found["over_time"], ["age", "number_inpatient"]
    assert (over_time[shifted].iloc[-1] > 1).all()
    assert (over_time[shifted].iloc[:-1] < 0.25).all().all()
    assert set(found["index"].index[:2]) == set(shifted)


def test_04_runs_without_outcomes(copy, monkeypatch, capsys):
    change(copy.folder / "predictions.db", "DELETE FROM outcomes")
    run_script("04_monitoring", copy.settings, monkeypatch)
    assert "no outcomes of both kinds yet" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("statement", "error", "told"),
    [
        (
            "UPDATE predictions SET probability = probability + 0.01 WHERE id = 7",
            AssertionError,
            "other risks than the log",
        ),
        ("UPDATE predictions SET class = 1 - class WHERE id = 7", AssertionError, "the version's threshold"),
        ("DELETE FROM predictions", MonitoringError, "no predictions of best_diabetes"),
    ],
)
def test_04_stops_at_a_log_that_is_not_the_models(copy, monkeypatch, statement, error, told):
    change(copy.folder / "predictions.db", statement)
    with pytest.raises(error, match=told):
        run_script("04_monitoring", copy.settings, monkeypatch)
