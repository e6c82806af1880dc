import os

import pandas as pd
import pyarrow as pa
import pytest

from readmission_data.clean import staging
from readmission_data.errors import StagingError


def test_a_frame_comes_back_as_it_was(tmp_path):
    frame = pd.DataFrame({"a": [1, 2], "b": pd.Categorical(["x", None])})
    staging.write_frame(tmp_path / "run" / "frame.parquet", frame)
    pd.testing.assert_frame_equal(staging.read_frame(tmp_path / "run" / "frame.parquet"), frame)


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "frame.parquet"
    staging.write_frame(path, pd.DataFrame({"a": [1]}))

    def disk_full(_, file):
        file.write(b"PAR1 and half a file")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pyarrow.parquet.write_table", disk_full)
    with pytest.raises(OSError, match="No space"):
        staging.write(path, pa.table({"a": [2]}))
    assert staging.read_frame(path)["a"].tolist() == [1]


def test_a_missing_file_says_what_to_do(tmp_path):
    with pytest.raises(StagingError, match="run the tasks before it again"):
        staging.read(tmp_path / "train.parquet")


def test_a_run_id_never_leaves_the_staging_folder(tmp_path):
    for run_id in ("scheduled__2026-01-01T00:00:00+00:00", "../../etc", "/etc", ".."):
        folder = staging.folder(tmp_path, run_id)
        assert folder.parent == tmp_path
        assert folder.resolve().parent == tmp_path.resolve()


def test_two_run_ids_never_share_a_folder(tmp_path):
    assert staging.folder(tmp_path, "a:b") != staging.folder(tmp_path, "a/b")


def test_runs_of_yesterday_are_removed_and_todays_stay(tmp_path):
    for run in ("old", "new"):
        staging.write_frame(tmp_path / run / "raw" / "frame.parquet", pd.DataFrame({"a": [1]}))
    os.utime(tmp_path / "old" / "raw" / "frame.parquet", (0, 0))
    os.utime(tmp_path / "old" / "raw", (0, 0))
    staging.remove_old(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
    staging.remove_old(tmp_path / "nowhere")
