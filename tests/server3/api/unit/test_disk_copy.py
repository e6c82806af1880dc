import os
import shutil
import time

import pytest

from readmission_api.errors import ModelRefusedError
from readmission_api.model_store import disk_copy
from readmission_api.model_store.disk_copy import DiskCopy
from readmission_api.predictor.predictor import ModelVersion
from server3.api.support.tracking import sha256


@pytest.fixture
def copy(versions, tmp_path):
    copy = DiskCopy(tmp_path)
    manifest = sha256(versions.one / "manifest.json")
    copy.keep(shutil.copytree(versions.one, copy.prepare() / "new"), manifest)
    copy.record(ModelVersion("model", "1", "production", manifest))
    return copy


def test_only_the_name_that_served_is_served_again(copy):
    version, folder = copy.recorded("model", "production")
    assert (version.version, folder.name) == ("1", version.manifest_sha256)
    assert copy.recorded("another_model", "production") is None
    assert copy.recorded("model", "rehearsal") is None


def test_a_copy_that_can_not_be_read_now_is_not_removed(copy, monkeypatch):
    version, folder = copy.recorded("model", "production")

    def fail(*_):
        raise ModelRefusedError("files", "too many open files")

    with monkeypatch.context() as while_it_lasts:
        while_it_lasts.setattr(disk_copy, "verify_manifest", fail)
        assert copy.find(version.manifest_sha256) is None
    assert copy.find(version.manifest_sha256) == folder


def test_what_killed_downloads_left_is_removed_and_what_runs_is_not(copy, tmp_path):
    left, running = (tmp_path / "versions" / f"incoming-{name}" for name in ("left", "running"))
    for folder in (left, running):
        folder.mkdir()
    os.utime(left, (time.time() - 7_200,) * 2)
    copy.prepare()
    assert (left.exists(), running.exists()) == (False, True)
