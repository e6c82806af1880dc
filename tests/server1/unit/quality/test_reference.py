"""The figures that the project states: page, packaged JSON and requirement agree."""

from pathlib import Path

from readmission_data.dataset.inspection import UCI_SHA256
from readmission_data.model_version.contract import Interval
from readmission_data.model_version.quality_report import QualityReport

CHECKOUT = Path(__file__).parents[4]
PAGE = (CHECKOUT / "docs" / "model-quality.md").read_text(encoding="utf-8")
REFERENCE = QualityReport.model_validate_json(
    (
        CHECKOUT / "server1-data" / "src" / "readmission_data" / "model_version" / "quality_reference.json"
    ).read_text(encoding="utf-8")
)


def spelled(figure: Interval) -> str:
    return f"{figure.value:.4f} ({figure.low:.4f} to {figure.high:.4f})"


def test_page_and_model_card_quote_the_same_run():
    assert REFERENCE.dataset_sha256 == UCI_SHA256
    for name, candidate in REFERENCE.candidates.items():
        line = next(line for line in PAGE.splitlines() if line.startswith(f"| `{name}` | 0."))
        for figure in (candidate.cross_validation.roc_auc, candidate.cross_validation.average_precision):
            assert spelled(figure) in line
    temporal = REFERENCE.candidates["lightgbm"].temporal
    later = next(
        line for line in PAGE.splitlines() if line.startswith("| temporal: earlier encounters of other")
    )
    for figure in (temporal.roc_auc, temporal.average_precision):
        assert spelled(figure) in later
    assert f"{temporal.train_rows:,} / {temporal.test_rows:,}" in later


def test_the_stated_quality_is_what_the_project_asks_for():
    best = REFERENCE.candidates["lightgbm"].cross_validation
    assert best.roc_auc.value >= 0.682
    assert best.average_precision.value >= 0.237


def test_the_page_ends_with_what_was_tried():
    tried = (CHECKOUT / "server1-data" / "quality" / "tried.md").read_text(encoding="utf-8")
    assert PAGE.endswith(tried)
