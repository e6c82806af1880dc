"""The script of the Job `dataset`, as the pod runs it: a later release needs no internet."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[4] / "server1-data/deploy/feed/dataset.sh"


@pytest.fixture
def run(site, sample_csv, tmp_path):
    """Call it to run the Job against the site; `dataset` is the setting of the same name."""
    site.content = sample_csv
    folder = tmp_path / "volume"

    def run(dataset=None):
        return subprocess.run(
            ["bash", SCRIPT],
            env={
                **os.environ,
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "READMISSION_DATASET": dataset or site.url,
                "READMISSION_DATASET_SHA256": "",
                "READMISSION_CACHE_DIR": str(folder),
            },
            capture_output=True,
            text=True,
            check=False,
        )

    run.copy = folder / "encounters"
    return run


def test_a_checked_copy_needs_no_internet(run, site, sample_csv):
    assert run().returncode == 0
    assert run.copy.read_bytes() == sample_csv
    asked = len(site.requests)
    again = run()
    assert (again.returncode, again.stdout) == (0, "dataset: keeping the checked copy in the volume\n")
    assert len(site.requests) == asked


def test_another_address_or_a_damaged_copy_is_loaded_again(run, site, sample_csv):
    assert run().returncode == 0
    asked = len(site.requests)
    assert run(f"{site.url}?other").returncode == 0
    assert len(site.requests) > asked
    damaged = run.copy.resolve()
    damaged.write_bytes(sample_csv[:-1])
    asked = len(site.requests)
    run(f"{site.url}?other")
    assert len(site.requests) > asked
