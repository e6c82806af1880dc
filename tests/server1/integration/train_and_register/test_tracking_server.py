"""A training against a real MLflow server that proxies artifacts, as the deployment runs it."""

import numpy as np
import pytest
from mlflow import MlflowClient

from readmission_data.training import result as results
from readmission_data.training.run import train
from readmission_data.training.search import risk

from .conftest import put_aside

pytestmark = pytest.mark.mysql


def test_a_training_is_recorded_and_read_back_through_the_server(prepared, server):
    settings = prepared["synthetic"].model_copy(
        update={"tracking_uri": server.address, "candidates": ("lightgbm",)}
    )
    put_aside(settings)
    result = train(settings)
    client = MlflowClient(server.address)
    uri = client.get_run(result.run_id).info.artifact_uri
    assert uri.startswith("mlflow-artifacts:")
    # The client sent the files to the server, which keeps them in its own store.
    assert list((server.folder / "artifacts").rglob("lineage.json"))
    assert results.load_lineage(settings, result).synthetic
    assert results.load_subgroups(settings, result)["encounters"].min() >= 1
    encoding = results.load_encoding(settings, result)
    scores = risk(results.load_estimator(settings, result), np.zeros((2, len(encoding.names)), np.float32))
    assert scores[0] == scores[1]
    assert 0 < scores[0] < 1
    assert train(settings).reused
