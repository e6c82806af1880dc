"""The script as users run it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import cross_validation
from readmission_data.model_version import quality_report

CHECKOUT = Path(__file__).parents[4]
SCRIPT = CHECKOUT / "server1-data" / "quality" / "cross_validation.py"


def run(folder: Path, dataset: Path, *options: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "READMISSION_DATASET": str(dataset),
        "READMISSION_CACHE_DIR": str(folder / "cache"),
        "OMP_NUM_THREADS": "1",
    }
    return subprocess.run(
        [sys.executable, str(SCRIPT), *options],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.fixture(scope="module")
def quick_run(tmp_path_factory, sample):
    folder = tmp_path_factory.mktemp("run")
    page, report = folder / "page.md", folder / "report.json"
    done = run(folder, sample, "--quick", "--page", str(page), "--report", str(report))
    assert done.returncode == 0, done.stderr
    return done, page.read_text(), report


def test_a_quick_run_measures_every_model(quick_run):
    done, page, _ = quick_run
    for name in ("`lightgbm`", "all features", "logistic regression on one-hots", "SelectKBest(50)"):
        # Pooled ROC AUC with its interval around it.
        row = re.search(rf"^\| {re.escape(name)}.*?\| (\S+) \((\S+) to (\S+)\)", page, re.MULTILINE)
        assert row, page
        value, low, high = map(float, row.groups())
        assert 0.5 < low < value < high < 1
        assert row.group(0) in done.stdout


def test_the_served_graph_is_the_fitted_model(quick_run):
    _, page, _ = quick_run
    difference = re.search(r"differ from\s+scikit-learn by at most (\S+)\.\n", page)
    assert difference
    assert 0 < float(difference.group(1)) < 1e-6


def test_leaks_look_far_too_good(quick_run):
    _, page, _ = quick_run
    leaks = dict(
        re.findall(r"^\| ([^|]+) \| (0\.\d+|1\.0+) \|$", page.split("## What a leak")[1], re.MULTILINE)
    )
    assert float(leaks["honest"]) < 0.85
    assert float(leaks["oversampled before the rows are split"]) > 0.97


def test_the_model_card_can_read_the_report(quick_run):
    _, page, path = quick_run
    sha256 = json.loads(path.read_text())["dataset_sha256"]
    report = quality_report.read(path, sha256, "lightgbm")
    assert report is not None
    assert f"{report.cross_validation.roc_auc.value:.4f}" in page
    assert f"{report.temporal.average_precision.value:.4f}" in page
    assert f"{report.temporal.train_rows:,} / {report.temporal.test_rows:,}" in page
    assert quality_report.read(path, "0" * 64, "lightgbm") is None


def test_it_tells_what_is_wrong_with_the_data_set(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("READMISSION_DATASET", str(tmp_path / "absent.zip"))
    assert cross_validation.main(["--quick"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "absent.zip does not exist" in printed.err
