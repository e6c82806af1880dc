"""Registering trainings in a real MLflow, and what the aliases do."""

import json
import sqlite3
from pathlib import Path

import jsonschema
import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts

from readmission_data import databases
from readmission_data.errors import (
    ParityError,
    PinnedError,
    RegistryError,
    TrackingError,
    TrainingUnderWayError,
)
from readmission_data.model_version import graph, manifest, sources
from readmission_data.model_version.contract import MODEL_NAME, GoldenRows, RiskIntervals
from readmission_data.registry import aliases, pin, versions
from readmission_data.registry.register import register
from readmission_data.settings import DataSettings
from readmission_data.status import status
from readmission_data.tracking import connect
from readmission_data.training import ledger
from readmission_data.training.lock import one_training
from readmission_data.training.run import train

from .conftest import Trained

CONTRACT = Path(__file__).parents[4] / "docs" / "contracts" / "input_schema.schema.json"


def client(settings: DataSettings) -> MlflowClient:
    return connect(settings)


def test_a_version_holds_what_serving_needs(registry: dict[str, Trained], tmp_path: Path) -> None:
    own = registry["own"]
    done = register(own.settings, own.first)
    assert (done.version, done.alias) == ("1", "production")
    assert done.aliases == {"production": "1"}
    assert done.reason.startswith("beats the base rate")

    folder = Path(download_artifacts(f"models:/{MODEL_NAME}@production", dst_path=str(tmp_path)))
    version = client(own.settings).get_model_version(MODEL_NAME, "1")
    assert version.run_id == own.first.best_run_id
    assert version.tags["manifest_sha256"] == manifest.sha256(folder / "manifest.json")
    listed = json.loads((folder / "manifest.json").read_text())
    assert listed == {name: manifest.sha256(folder / name) for name in manifest.FILES}
    assert version.tags["dataset"] == "own"
    assert version.tags["candidate"] == "lightgbm"
    assert version.tags["gate"] == "production"
    assert version.tags["gate_reason"] == done.reason
    assert float(version.tags["threshold"]) == own.first.threshold

    schema = json.loads((folder / "input_schema.json").read_text())
    jsonschema.validate(schema, json.loads(CONTRACT.read_text()))
    assert schema["threshold"] == own.first.threshold
    assert schema["metrics"]["test"]["roc_auc"]["low"] < schema["metrics"]["test"]["roc_auc"]["high"]
    card = (folder / "model_card.md").read_text()
    assert "SYNTHETIC" not in card
    for part in (
        "## What it must not be used for",
        "## Against the LACE index",
        "## For whom it is worse",
        "| 80 years and over |",
        "## How sure one risk is",
    ):
        assert part in card
    found = RiskIntervals.model_validate(schema["intervals"])
    assert all(low <= risk <= high for risk, low, high in zip(found.risk, found.low, found.high, strict=True))
    assert found.coverage[0].encounters == len(fetch_scores(own, tmp_path))


def fetch_scores(trained: Trained, folder: Path) -> pd.DataFrame:
    """The best candidate's scores on test."""
    return pd.read_parquet(
        download_artifacts(
            run_id=trained.first.best_run_id,
            artifact_path="scores/test.parquet",
            dst_path=str(folder),
            tracking_uri=trained.settings.tracking_uri,
        )
    )


def test_the_gate_leaves_its_report_in_the_run_of_the_version(
    registry: dict[str, Trained], tmp_path: Path
) -> None:
    own = registry["own"]
    done = register(own.settings, own.first)
    path = client(own.settings).download_artifacts(own.first.best_run_id, "gate_report.md", str(tmp_path))
    report = Path(path).read_text()
    assert report.startswith(f"# Version {done.version} serves\n")
    assert done.reason[1:] in report
    judged = sources.judging(own.settings)
    assert f"on\n{len(judged.labels):,} encounters of validation patients" in report
    assert "| ROC AUC | " in report


def test_every_way_to_open_a_version_gives_the_same_risk(
    registry: dict[str, Trained], tmp_path: Path
) -> None:
    own = registry["own"]
    register(own.settings, own.first)
    uri = f"models:/{MODEL_NAME}@production"
    rows = GoldenRows.model_validate_json(
        Path(download_artifacts(f"{uri}/golden_rows.json", dst_path=str(tmp_path))).read_text()
    )
    feeds = {
        "numeric": np.array([row.numeric for row in rows.rows], dtype=np.float32),
        "categorical": np.array([row.categorical for row in rows.rows]),
    }
    served = mlflow.pyfunc.load_model(uri).predict(feeds)["probability"]
    expected = [row.probability for row in rows.rows]
    np.testing.assert_allclose(served, expected, rtol=0, atol=rows.tolerance)

    frame = sources.judging(own.settings).frame
    onnx_risk = versions.load(client(own.settings), "1").score(frame)
    notebook = mlflow.sklearn.load_model(f"{uri}/sklearn").predict_proba(frame)[:, 1]
    np.testing.assert_allclose(onnx_risk, notebook, rtol=0, atol=1e-6)


def test_registering_again_changes_nothing(registry: dict[str, Trained]) -> None:
    own = registry["own"]
    first = register(own.settings, own.first)
    assert register(own.settings, own.first) == first
    found = client(own.settings).search_model_versions(f"name = '{MODEL_NAME}'")
    assert [str(version.version) for version in found] == ["1"]


def test_aliases_over_the_life_of_a_model(registry: dict[str, Trained]) -> None:
    made_up, own = registry["synthetic"], registry["own"]
    # A synthetic model may serve while there is none better.
    assert register(made_up.settings, made_up.first).aliases == {"production": "1"}
    # Real data replaces it, whatever its figures say.
    promoted = register(own.settings, own.first)
    assert promoted.aliases == {"production": "2", "previous": "1"}
    assert "production was trained on synthetic data" in promoted.reason
    # Synthetic data never replaces real data.
    refused = register(made_up.settings, made_up.second)
    assert refused.aliases == {"production": "2", "previous": "1", "challenger": "3"}
    assert "never replaces version 2" in refused.reason
    # Another model of the same data that is not better is watched.
    worse = register(own.settings, own.second)
    assert worse.aliases == {"production": "2", "previous": "1", "challenger": "4"}
    assert worse.reason.startswith("does not beat version 2")

    back = aliases.rollback(own.settings)
    assert (back.production, back.previous) == ("1", "2")
    assert aliases.current(client(own.settings)) == {"production": "1", "previous": "2", "challenger": "4"}
    assert back.reason.startswith("rolled back from version 2 to 1")
    assert client(own.settings).get_model_version(MODEL_NAME, "2").tags["rollback_reason"] == back.reason
    # Registering what was rolled back from does not undo the rollback.
    assert register(own.settings, own.first).aliases["production"] == "1"
    # Nor does a second rollback bring the bad version back by accident.
    with pytest.raises(PinnedError, match=r"version 1 is pinned by .*: rolled back from version 2"):
        aliases.rollback(own.settings)
    assert aliases.release(own.settings).version == "1"
    with pytest.raises(RegistryError, match=r"version 2 was rolled back before.*--to 2"):
        aliases.rollback(own.settings)
    assert aliases.current(client(own.settings))["production"] == "1"
    forth = aliases.rollback(own.settings, to="2", by="ward 3", reason="the fault was in the feed")
    assert (forth.production, forth.previous) == ("2", "1")
    held = pin.read(client(own.settings))
    assert (held.version, held.by, held.reason) == ("2", "ward 3", "the fault was in the feed")
    assert "rolled_back" not in client(own.settings).get_model_version(MODEL_NAME, "2").tags


def test_a_pinned_version_serves_until_it_is_released(registry: dict[str, Trained]) -> None:
    made_up, own = registry["synthetic"], registry["own"]
    with pytest.raises(RegistryError, match="nothing to pin"):
        aliases.hold(own.settings, reason="too early")
    with pytest.raises(RegistryError, match="nothing to release"):
        aliases.release(own.settings)
    register(made_up.settings, made_up.first)
    held = aliases.hold(own.settings, reason="audit until Friday", by="Dr Roe")
    assert status(own.settings)["model"]["pin"] == {
        "version": "1",
        "by": "Dr Roe",
        "reason": "audit until Friday",
        "at": held.at,
    }
    # Without the pin this version replaces the synthetic one, as the test above shows.
    done = register(own.settings, own.first)
    assert done.aliases == {"production": "1", "challenger": "2"}
    assert done.alias == "challenger"
    assert done.reason.startswith("not promoted: version 1 is pinned by Dr Roe: audit until Friday. ")
    assert "beats the base rate" in done.reason
    assert register(own.settings, own.first) == done
    with pytest.raises(PinnedError, match="Release it before you roll back"):
        aliases.rollback(own.settings, to="2")
    aliases.release(own.settings)
    assert status(own.settings)["model"]["pin"] is None
    assert aliases.rollback(own.settings, to="2").production == "2"
    assert aliases.current(client(own.settings)) == {"production": "2", "previous": "1", "challenger": "2"}


def test_a_version_that_does_not_exist_cannot_serve(registry: dict[str, Trained]) -> None:
    own = registry["own"]
    register(own.settings, own.first)
    with pytest.raises(RegistryError, match=r"version 9 of .* cannot be read"):
        aliases.rollback(own.settings, to="9")
    assert pin.read(client(own.settings)) is None
    assert aliases.current(client(own.settings)) == {"production": "1"}


def test_a_second_training_does_not_touch_the_running_one(
    registry: dict[str, Trained], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = registry["own"]
    monkeypatch.setattr(databases, "LOCK_SECONDS", 1)
    running = client(own.settings).create_run(
        own.first.experiment_id, tags={ledger.ROLE: ledger.TRAINING}, run_name="the running one"
    )
    other = own.settings.model_copy(update={"seed": 1})
    with one_training(own.settings):
        with pytest.raises(TrainingUnderWayError, match="another training or registration"):
            train(other)
        with pytest.raises(TrainingUnderWayError, match="another training or registration"):
            register(own.settings, own.first)
        assert client(own.settings).get_run(running.info.run_id).info.status == "RUNNING"
    assert register(own.settings, own.first).alias == "production"


def test_an_experiment_in_the_trash_is_named(registry: dict[str, Trained]) -> None:
    own = registry["own"]
    client(own.settings).delete_experiment(own.first.experiment_id)
    with pytest.raises(TrackingError, match=r"is in MLflow's trash: restore it with `mlflow experiments"):
        train(own.settings)


def test_nothing_to_roll_back_to(registry: dict[str, Trained]) -> None:
    own = registry["own"]
    with pytest.raises(RegistryError, match="nothing to roll back to"):
        aliases.rollback(own.settings)
    register(own.settings, own.first)
    with pytest.raises(RegistryError, match="nothing to roll back to"):
        aliases.rollback(own.settings)
    assert aliases.current(client(own.settings)) == {"production": "1"}


def test_synthetic_data_is_written_large(registry: dict[str, Trained], tmp_path: Path) -> None:
    made_up = registry["synthetic"]
    register(made_up.settings, made_up.first)
    version = client(made_up.settings).get_model_version(MODEL_NAME, "1")
    assert version.tags["dataset"] == "synthetic"
    assert version.description.startswith("SYNTHETIC DATA")
    card = Path(download_artifacts(f"models:/{MODEL_NAME}/1/model_card.md", dst_path=str(tmp_path)))
    assert card.read_text().splitlines()[2] == "> # SYNTHETIC DATA"


def test_a_graph_that_differs_is_not_registered(
    registry: dict[str, Trained], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real conversion with one tree's leaf changed, as a converter's mistake would."""
    own = registry["own"]
    build = graph.build

    def wrong(*arguments: object) -> object:
        model = build(*arguments)  # type: ignore[arg-type]
        for node in model.graph.node:
            for attribute in node.attribute:
                if attribute.name == "class_weights_as_tensor":
                    weights = np.frombuffer(attribute.t.raw_data or attribute.t.double_data).copy()
                    weights[0] += 0.5
                    attribute.t.CopyFrom(graph.numpy_helper.from_array(weights))
                elif attribute.name == "class_weights":
                    attribute.floats[0] += 0.5
        return model

    monkeypatch.setattr(graph, "build", wrong)
    with pytest.raises(ParityError, match="lightgbm cannot be registered"):
        register(own.settings, own.first)
    assert aliases.current(client(own.settings)) == {}


def test_a_broken_production_is_not_replaced_unseen(registry: dict[str, Trained]) -> None:
    own = registry["own"]
    register(own.settings, own.first)
    client(own.settings).set_model_version_tag(MODEL_NAME, "1", "manifest_sha256", "0" * 64)
    done = register(own.settings, own.second)
    assert done.alias == "challenger"
    assert done.reason.startswith("not compared: version 1 of")
    assert "manifest" in done.reason
    assert done.aliases == {"production": "1", "challenger": "2"}


def test_rollback_refuses_a_broken_version(registry: dict[str, Trained]) -> None:
    made_up, own = registry["synthetic"], registry["own"]
    register(made_up.settings, made_up.first)
    register(own.settings, own.first)
    client(own.settings).set_model_version_tag(MODEL_NAME, "1", "manifest_sha256", "0" * 64)
    with pytest.raises(RegistryError, match="the manifest differs from the version's tag"):
        aliases.rollback(own.settings)
    assert aliases.current(client(own.settings))["production"] == "2"


def test_a_version_made_twice_is_kept_once(registry: dict[str, Trained]) -> None:
    """As when a request is sent again after its answer was lost."""
    own = registry["own"]
    done = register(own.settings, own.first)
    version = client(own.settings).get_model_version(MODEL_NAME, done.version)
    client(own.settings).create_model_version(
        MODEL_NAME, source=version.source, run_id=version.run_id, tags=version.tags
    )
    assert register(own.settings, own.first) == done
    found = client(own.settings).search_model_versions(f"name = '{MODEL_NAME}'")
    assert [str(one.version) for one in found] == [done.version]


def test_raw_data_that_changed_is_noticed(registry: dict[str, Trained], tmp_path: Path) -> None:
    own = registry["own"]
    source = Path(own.settings.raw_url.get_secret_value().removeprefix("sqlite:///"))
    copy = tmp_path / "raw.db"
    with sqlite3.connect(source) as before, sqlite3.connect(copy) as after:
        before.backup(after)
        after.execute("UPDATE validation_data SET number_inpatient = number_inpatient + 1")
    changed = own.settings.model_copy(update={"raw_url": type(own.settings.raw_url)(f"sqlite:///{copy}")})
    with pytest.raises(RegistryError, match="RawData has changed since training run"):
        register(changed, own.first)
