"""The script on baselines as its user runs it, on a generated sample."""

import json
import re
from pathlib import Path

import pytest

import baselines
from readmission_data.model_version import quality_report
from readmission_quality import report

CROSS_VALIDATION = {
    "roc_auc": {"value": 0.6, "low": 0.5, "high": 0.7},
    "average_precision": {"value": 0.2, "low": 0.1, "high": 0.3},
}


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory, sample: Path) -> tuple[str, Path]:
    folder = tmp_path_factory.mktemp("baselines")
    page, path = folder / "page.md", folder / "report.json"
    path.write_text(json.dumps({"dataset_sha256": "0" * 64, "candidates": {"of_other_data": {}}}))
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("READMISSION_DATASET", str(sample))
        environment.setenv("READMISSION_CACHE_DIR", str(folder / "cache"))
        assert baselines.main(["--quick", "--page", str(page), "--report", str(path)]) == 0
    return page.read_text(), path


def test_the_page_compares_with_lace_and_with_everybody(measured: tuple[str, Path]) -> None:
    page, _ = measured
    assert "## 2 partitions by patient" in page
    row = re.search(r"^\| `lightgbm` \| (\S+) ± (\S+) \(", page, re.MULTILINE)
    assert row
    assert 0.5 < float(row.group(1)) < 1
    for name in ("`lightgbm`", "LACE index"):
        assert re.search(rf"^- {name}: Flag 5%: \d+ of 100 flagged", page, re.MULTILINE)
    assert re.search(r"^\| all \| all \| \d+ \| \d+% \|$", page, re.MULTILINE)
    assert re.search(r"^\| 10% \| \d+\.\d% to \d+\.\d% \|$", page, re.MULTILINE)
    benefits = r"^\| (`lightgbm`|LACE index|everybody) (\| [+-]0\.\d{4} ){6}\|$"
    assert len(re.findall(benefits, page, re.MULTILINE)) == 3


def test_the_card_reads_what_it_wrote(measured: tuple[str, Path]) -> None:
    page, path = measured
    content = json.loads(path.read_text())
    assert list(content["candidates"]) == ["lightgbm"]
    found = quality_report.read(path, content["dataset_sha256"], "lightgbm")
    assert found is not None
    assert found.partitions.number == 2
    assert f"{found.partitions.roc_auc.mean:.4f} ± {found.partitions.roc_auc.deviation:.4f}" in page
    assert f"{found.temporal.train_rows:,} / {found.temporal.test_rows:,}" in page


def test_one_script_keeps_what_the_other_measured(measured: tuple[str, Path], tmp_path: Path) -> None:
    before = json.loads(measured[1].read_text())
    path = tmp_path / "report.json"
    path.write_text(json.dumps(before))
    report.merge(path, before["dataset_sha256"], {"lightgbm": {"cross_validation": CROSS_VALIDATION}})
    found = quality_report.read(path, before["dataset_sha256"], "lightgbm")
    assert found is not None
    assert found.cross_validation.roc_auc.value == 0.6
    assert found.partitions.number == 2
