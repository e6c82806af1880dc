"""The scikit-learn pipeline of a version, loaded as in a notebook."""

import zipfile
from pathlib import Path

import mlflow.sklearn
import numpy as np
import pytest
import skops.io
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from readmission_data.model_version import parity, pipeline
from readmission_data.training.candidates import TRUSTED_TYPES

from .conftest import Sample


def test_it_takes_the_encounters_frame(sample: Sample, models: dict, candidate: str, folder: Path) -> None:
    folder.mkdir()
    pipeline.save(pipeline.assemble(sample.encoding, models[candidate]), folder)
    opened = mlflow.sklearn.load_model(str(folder / pipeline.FOLDER))
    np.testing.assert_array_equal(
        opened.predict_proba(sample.test)[:, 1],
        parity.risk(sample.encoding, models[candidate], sample.test),
    )
    check_is_fitted(opened)
    assert opened[0].get_feature_names_out().tolist() == list(sample.encoding.names)
    assert opened[0].encoding.keys == sample.encoding.keys


def test_it_holds_no_pickle(sample: Sample, models: dict, folder: Path) -> None:
    folder.mkdir()
    pipeline.save(pipeline.assemble(sample.encoding, models["random_forest"]), folder)
    path = folder / pipeline.FOLDER / "model.skops"
    untrusted = skops.io.get_untrusted_types(file=path)
    assert set(untrusted) <= set(pipeline.TRUSTED)
    names = zipfile.ZipFile(path).namelist()
    assert not [name for name in names if name.endswith((".pkl", ".pickle", ".joblib"))]


def test_a_version_that_names_the_old_module_still_opens(
    sample: Sample, models: dict, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = "readmission_data.registry.pipeline"
    model = models["logistic_regression"]
    folder.mkdir()
    with monkeypatch.context() as stored:
        # What is written is what a version holds that was registered before the class moved.
        stored.setattr(pipeline.FeatureEncoder, "__module__", old)
        stored.setattr(pipeline, "TRUSTED", (f"{old}.FeatureEncoder", *TRUSTED_TYPES))
        pipeline.save(pipeline.assemble(sample.encoding, model), folder)
    path = folder / pipeline.FOLDER
    assert f"{old}.FeatureEncoder" in skops.io.get_untrusted_types(file=path / "model.skops")
    opened = mlflow.sklearn.load_model(str(path))
    np.testing.assert_array_equal(
        opened.predict_proba(sample.test)[:, 1], parity.risk(sample.encoding, model, sample.test)
    )


def test_it_can_be_cloned(sample: Sample) -> None:
    encoder = pipeline.FeatureEncoder.of(sample.encoding)
    np.testing.assert_array_equal(
        clone(encoder).fit(sample.train).transform(sample.test), sample.encoding.transform(sample.test)
    )
