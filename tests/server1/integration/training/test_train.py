"""A training on real MLflow: what it leaves, and that it is found again."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from pydantic import SecretStr
from sklearn.metrics import average_precision_score, roc_auc_score

from readmission_data import databases
from readmission_data.clean import cohort
from readmission_data.clean.tables import read_processed
from readmission_data.errors import TrainingError
from readmission_data.model_version import sources
from readmission_data.raw.tables import Split, read_split
from readmission_data.settings import DataSettings
from readmission_data.training import result as results
from readmission_data.training.candidates import CANDIDATES
from readmission_data.training.metrics import METRICS
from readmission_data.training.run import train
from readmission_data.training.search import risk

PLOTS = ("calibration", "confusion", "feature_importance", "precision_recall", "roc", "score_by_group")


@pytest.fixture(scope="module")
def trained(prepared, new_store):
    settings = prepared.model_copy(update={"tracking_uri": new_store()})
    return settings, train(settings), MlflowClient(settings.tracking_uri)


@pytest.fixture(scope="module")
def children(trained):
    _, result, client = trained
    runs = client.search_runs([result.experiment_id], f"tags.mlflow.parentRunId = '{result.run_id}'")
    return {run.data.tags["candidate"]: run for run in runs}


def fetched(trained, run_id, path, folder):
    return Path(
        download_artifacts(
            run_id=run_id, artifact_path=path, dst_path=str(folder), tracking_uri=trained[0].tracking_uri
        )
    )


def paths(client, run_id, folder=None):
    for entry in client.list_artifacts(run_id, folder):
        if entry.is_dir:
            yield from paths(client, run_id, entry.path)
        else:
            yield entry.path


def test_each_candidate_is_a_finished_child(trained, children):
    _, result, client = trained
    assert set(children) == set(CANDIDATES)
    assert {run.info.status for run in children.values()} == {"FINISHED"}
    assert client.get_run(result.run_id).info.status == "FINISHED"
    assert client.get_experiment(result.experiment_id).name == "diabetes_readmission_training"


def test_every_metric_is_there_for_every_split(children):
    expected = {
        f"{split}_{name}"
        for split in Split
        for name in (*METRICS, "baseline_accuracy", "baseline_weighted_f1")
    }
    expected |= {f"test_{name}_{end}" for name in METRICS for end in ("low", "high")}
    for name, run in children.items():
        assert expected <= run.data.metrics.keys(), name
        assert np.isfinite(list(run.data.metrics.values())).all()
        assert run.data.metrics["test_roc_auc_low"] < run.data.metrics["test_roc_auc_high"]


def test_the_best_on_the_rows_that_choose_is_the_result(trained, children):
    result = trained[1]
    figures = {name: run.data.metrics["choosing_average_precision"] for name, run in children.items()}
    assert result.candidate == max(figures, key=figures.__getitem__)
    assert result.best_run_id == children[result.candidate].info.run_id
    assert result.choosing_average_precision == figures[result.candidate]


def test_only_the_part_of_validation_that_does_not_judge_chose(trained, children, tmp_path):
    settings = trained[0]
    judging = set(sources.judging(settings).frame["encounter_id"])
    for name, run in children.items():
        path = fetched(trained, run.info.run_id, "scores/validation.parquet", tmp_path / name)
        rows = pd.read_parquet(path)
        chose = ~rows["encounter_id"].isin(judging)
        assert 0.3 < chose.mean() < 0.7
        assert run.data.metrics["choosing_average_precision"] == pytest.approx(
            average_precision_score(rows["readmitted_30d"][chose], rows["score"][chose]), abs=1e-12
        )


def test_every_artifact_is_there(trained, children):
    client = trained[2]
    for run in children.values():
        assert set(paths(client, run.info.run_id)) == {
            "feature_importance.csv",
            "subgroups.csv",
            "subgroups.json",
            "trials.csv",
            "scores/validation.parquet",
            "scores/test.parquet",
            *(f"plots/{name}.png" for name in PLOTS),
        }
    assert set(paths(client, trained[1].run_id)) == {
        "feature_encoding.parquet",
        "feature_info.parquet",
        "lineage.json",
        *(f"processed/{split}.parquet" for split in Split),
    }


def test_artifacts_of_a_local_store_lie_beside_it(trained):
    settings, result, client = trained
    beside = Path(settings.tracking_uri.removeprefix("sqlite:///")).parent / "artifacts"
    assert client.get_run(result.run_id).info.artifact_uri.startswith(beside.as_uri())


def test_the_metrics_are_those_of_the_scores(trained, children, tmp_path):
    for name, run in children.items():
        for split in ("validation", "test"):
            path = fetched(trained, run.info.run_id, f"scores/{split}.parquet", tmp_path / name / split)
            rows = pd.read_parquet(path)
            labels, scores = rows["readmitted_30d"], rows["score"]
            metrics = run.data.metrics
            assert metrics[f"{split}_roc_auc"] == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
            assert metrics[f"{split}_average_precision"] == pytest.approx(
                average_precision_score(labels, scores), abs=1e-12
            )
            if split == "validation":
                assert (scores >= metrics["threshold"]).sum() == round(0.1 * len(rows))


def test_the_estimator_comes_back_and_scores_the_same(trained, tmp_path):
    settings, result, _ = trained
    estimator = results.load_estimator(settings, result)
    with databases.engine(settings.clean_url) as engine, engine.connect() as connection:
        processed = read_processed(connection)
    features = processed.test[processed.feature_info["name"]].to_numpy(np.float32)
    kept = pd.read_parquet(fetched(trained, result.best_run_id, "scores/test.parquet", tmp_path))
    np.testing.assert_array_equal(risk(estimator, features), kept["score"])
    np.testing.assert_array_equal(processed.test["encounter_id"], kept["encounter_id"])


def test_the_processed_tables_and_their_encoding_are_kept(trained, tmp_path):
    settings, result, _ = trained
    with databases.engine(settings.clean_url) as engine, engine.connect() as connection:
        processed = read_processed(connection)
    for split in Split:
        kept = pd.read_parquet(fetched(trained, result.run_id, f"processed/{split}.parquet", tmp_path))
        pd.testing.assert_frame_equal(kept, getattr(processed, split))
    with databases.engine(settings.raw_url) as engine, engine.connect() as connection:
        frame = read_split(connection, Split.TEST)
    encoding = results.load_encoding(settings, result)
    np.testing.assert_array_equal(
        encoding.transform(frame[cohort.keep(frame)]),
        processed.test[list(encoding.names)].to_numpy(np.float32),
    )


def test_the_lineage_is_told_loudly(trained, children):
    settings, result, client = trained
    lineage = results.load_lineage(settings, result)
    assert lineage.synthetic
    assert lineage.batches == (1,)
    assert lineage.git_commit == "0123abcd"
    assert lineage.training_key(settings) == result.training_key
    for run in (client.get_run(result.run_id), *children.values()):
        assert run.data.tags["dataset"] == "synthetic"
        assert run.data.tags["dataset_sha256"] == lineage.dataset_sha256 == result.dataset_sha256
        assert run.info.run_name.startswith("SYNTHETIC-")
        assert "SYNTHETIC DATA" in run.data.tags["mlflow.note.content"]
        assert {entry.dataset.name for entry in run.inputs.dataset_inputs} == {
            f"diabetes_{split}_processed" for split in Split
        }


def test_no_tag_nor_parameter_holds_the_salt(trained, children):
    settings, result, client = trained
    for run in (client.get_run(result.run_id), *children.values()):
        told = json.dumps(run.to_dictionary())
        assert settings.split_salt not in told


def test_the_subgroups_come_back(trained):
    settings, result, _ = trained
    table = results.load_subgroups(settings, result)
    assert set(table["column"]) == {"all", "race", "gender", "age"}
    assert "?" in set(table.loc[table["column"] == "race", "level"])
    metrics = results.load_metrics(settings, result)
    assert table.loc[0, "roc_auc"] == pytest.approx(metrics["test_roc_auc"])


def test_an_equal_training_is_found_and_not_run_again(trained):
    settings, result, client = trained
    before = len(client.search_runs([result.experiment_id]))
    again = train(settings)
    assert again.reused
    assert again.to_json() == result.to_json() | {"reused": True}
    assert len(client.search_runs([result.experiment_id])) == before


def test_another_setting_is_another_training(trained):
    settings, result, client = trained
    other = settings.model_copy(update={"threshold": 0.3, "candidates": ("logistic_regression",)})
    found = train(other)
    assert not found.reused
    assert found.run_id != result.run_id
    assert found.threshold == 0.3
    metrics = results.load_metrics(other, found)
    assert metrics["threshold"] == 0.3
    assert metrics["test_roc_auc"] == pytest.approx(
        next(
            run.data.metrics["test_roc_auc"]
            for run in client.search_runs([result.experiment_id], "tags.candidate = 'logistic_regression'")
            if run.info.run_id != found.best_run_id
        )
    )


def test_a_training_whose_model_is_gone_is_run_again(prepared, new_store):
    settings = prepared.model_copy(
        update={"tracking_uri": new_store(), "candidates": ("logistic_regression",)}
    )
    first = train(settings)
    client = MlflowClient(settings.tracking_uri)
    model = client.get_logged_model(first.model_uri.removeprefix("models:/"))
    for path in Path(model.artifact_location.removeprefix("file://")).rglob("*"):
        if path.is_file():
            path.unlink()
    with pytest.raises(TrainingError, match="train again"):
        results.load_estimator(settings, first)
    second = train(settings)
    assert not second.reused
    assert second.run_id != first.run_id
    assert results.load_estimator(settings, second) is not None


def test_an_unknown_candidate_is_refused_before_anything_is_read():
    with pytest.raises(TrainingError, match=r"no such candidate: xgboost; .*lightgbm"):
        train(DataSettings(candidates=("xgboost",), clean_url=SecretStr("sqlite:////nowhere/clean.db")))


def test_raw_data_that_lacks_an_encounter_is_refused(prepared, new_store, tmp_path):
    path = tmp_path / "raw.db"
    shutil.copy(sa.make_url(prepared.raw_url.get_secret_value()).database, path)
    settings = prepared.model_copy(
        update={"raw_url": SecretStr(f"sqlite:///{path}"), "tracking_uri": new_store()}
    )
    with databases.engine(settings.clean_url) as engine, engine.connect() as connection:
        one = int(read_processed(connection).test["encounter_id"].iloc[0])
    with databases.engine(settings.raw_url) as engine, engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM test_data WHERE encounter_id = :one"), {"one": one})
    with pytest.raises(TrainingError, match=r"^1 encounters of the test split are not in RawData"):
        train(settings)
