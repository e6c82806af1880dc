"""The figures that the project states: page, packaged JSON and requirement agree."""

from pathlib import Path

from readmission_data.dataset.inspection import UCI_SHA256
from readmission_data.model_version.quality_report import QualityReport

CHECKOUT = Path(__file__).parents[4]
PAGE = (CHECKOUT / "docs" / "model-quality.md").read_text(encoding="utf-8")
REFERENCE = QualityReport.model_validate_json(
    (
        CHECKOUT / "server1-data" / "src" / "readmission_data" / "model_version" / "quality_reference.json"
    ).read_text(encoding="utf-8")
)


def test_page_and_model_card_quote_the_same_run():
    assert REFERENCE.dataset_sha256 == UCI_SHA256
    crossed, temporal = REFERENCE.cross_validation, REFERENCE.temporal
    served = next(line for line in PAGE.splitlines() if line.startswith("| `lightgbm` | 0."))
    later = next(
        line for line in PAGE.splitlines() if line.startswith("| temporal: earlier encounters of other")
    )
    for interval, line in (
        (crossed.roc_auc, served),
        (crossed.average_precision, served),
        (temporal.roc_auc, later),
        (temporal.average_precision, later),
    ):
        assert f"{interval.value:.4f} ({interval.low:.4f} to {interval.high:.4f})" in line
    assert f"{temporal.train_rows:,} / {temporal.test_rows:,}" in later


def test_the_stated_quality_is_what_the_project_asks_for():
    assert REFERENCE.cross_validation.roc_auc.value >= 0.682
    assert REFERENCE.cross_validation.average_precision.value >= 0.237


def test_the_page_ends_with_what_was_tried():
    tried = (CHECKOUT / "server1-data" / "quality" / "tried.md").read_text(encoding="utf-8")
    assert PAGE.endswith(tried)
