"""The hosts' script that measures volumes."""

import re
import subprocess

import pytest

from server3.observability import conftest


def written(out):
    return {
        (volume, directory): int(size)
        for volume, directory, size in re.findall(
            r'^readmission_volume_bytes\{volume="(.+)",directory="(.+)"\} (\d+)$',
            out.read_text(),
            re.MULTILINE,
        )
    }


def test_the_size_of_each_volume_is_written(tmp_path):
    folders = tmp_path / "default-storage"
    for name in ("readmission-data-airflow-logs-pvc-1f7a", "readmission-data-airflow-logs-pvc-2b", "other"):
        (folders / name / "run").mkdir(parents=True)
    (folders / "readmission-data-airflow-logs-pvc-1f7a" / "run" / "log").write_bytes(b"x" * 200_000)
    out = tmp_path / "volumes.prom"
    subprocess.run([conftest.VOLUME_METRICS, out, folders], check=True)
    sizes = written(out)
    # A folder of an earlier claim of the same name is one of its own; what is no volume is not counted.
    assert sizes.keys() == {
        ("readmission-data-airflow-logs", "readmission-data-airflow-logs-pvc-1f7a"),
        ("readmission-data-airflow-logs", "readmission-data-airflow-logs-pvc-2b"),
    }
    assert max(sizes.values()) == pytest.approx(200_000, abs=30_000)
    assert out.stat().st_mode & 0o777 == 0o644
    assert [path.name for path in tmp_path.glob(".volumes*")] == []


def test_a_host_without_volumes_has_none(tmp_path):
    out = tmp_path / "volumes.prom"
    subprocess.run([conftest.VOLUME_METRICS, out, tmp_path / "nothing"], check=True)
    assert written(out) == {}
