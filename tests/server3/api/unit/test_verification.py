import json
import shutil

import pytest

from readmission_api.errors import ModelRefusedError
from readmission_api.model_store.verification import load
from readmission_api.predictor.predictor import ModelVersion
from server3.api.conftest import load_folder
from server3.api.support.tracking import changed_copy, sha256, sign


@pytest.fixture
def folder(versions, tmp_path):
    return shutil.copytree(versions.one, tmp_path / "version")


def reason_of(folder):
    with pytest.raises(ModelRefusedError) as caught:
        load_folder(folder)
    return caught.value.reason


def test_a_version_that_is_whole_loads(folder):
    assert load_folder(folder).version.version == "1"


def test_a_manifest_that_was_not_registered_is_refused(folder):
    with pytest.raises(ModelRefusedError) as caught:
        load(folder, ModelVersion("m", "1", "production", "0" * 64))
    assert caught.value.reason == "hash"


@pytest.mark.parametrize("name", ["model.onnx", "input_schema.json", "golden_rows.json", "model_card.md"])
def test_a_file_that_changed_is_refused(folder, name):
    with (folder / name).open("ab") as file:
        file.write(b" ")
    assert reason_of(folder) == "hash"


@pytest.mark.parametrize("name", ["model.onnx", "input_schema.json", "golden_rows.json", "model_card.md"])
def test_a_file_that_is_missing_is_refused(folder, name):
    (folder / name).unlink()
    assert reason_of(folder) == "files"


def test_a_file_that_the_manifest_does_not_vouch_for_is_refused(folder):
    manifest = json.loads((folder / "manifest.json").read_bytes())
    del manifest["model.onnx"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert reason_of(folder) == "files"


def test_a_manifest_that_points_out_of_the_version_is_refused(folder):
    (folder.parent / "other").write_bytes(b"x")
    manifest = json.loads((folder / "manifest.json").read_bytes())
    manifest["../other"] = sha256(folder.parent / "other")
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert reason_of(folder) == "files"


def test_a_truncated_graph_is_refused_even_where_the_hashes_are_right(folder):
    graph = (folder / "model.onnx").read_bytes()
    (folder / "model.onnx").write_bytes(graph[: len(graph) // 2])
    sign(folder)
    assert reason_of(folder) == "graph"


def test_a_graph_that_answers_otherwise_than_scikit_learn_is_refused(folder, versions):
    shutil.copy(versions.two / "model.onnx", folder / "model.onnx")
    sign(folder)
    assert reason_of(folder) == "golden_rows"


@pytest.mark.parametrize("golden", [b"{}", b'{"rows": []}', b"x", b'{"rows": [{"numeric": [1]}]}'])
def test_golden_rows_that_prove_nothing_are_refused(folder, golden):
    (folder / "golden_rows.json").write_bytes(golden)
    sign(folder)
    assert reason_of(folder) == "golden_rows"


def test_a_schema_of_a_newer_major_is_refused(versions, tmp_path):
    folder = changed_copy(versions.one, tmp_path / "newer", schema_version="2.0")
    assert reason_of(folder) == "schema_major"


def test_a_schema_that_does_not_fit_the_graph_is_refused(versions, tmp_path):
    graph = json.loads((versions.one / "input_schema.json").read_bytes())["graph"]
    graph["categorical"] = graph["categorical"][:-1]
    folder = changed_copy(versions.one, tmp_path / "unfit", graph=graph)
    assert reason_of(folder) == "graph"
