"""Measures the product's model by cross-validation over patients, and by the temporal test.

Run it with the data environment: `.venvs/data/bin/python server1-data/quality/cross_validation.py`.
"""

import argparse
import logging
import sys
from pathlib import Path
from typing import Final

from readmission_data.errors import ReadmissionDataError
from readmission_data.model_version.quality_report import PACKAGED
from readmission_data.settings import DataSettings
from readmission_quality import encounters, figures, report
from readmission_quality.evaluation import candidates_by_default
from readmission_quality.pipelines import HEADLINE
from readmission_quality.progress import Progress

HERE: Final = Path(__file__).resolve().parent
CHECKOUT: Final = HERE.parents[1]
PAGE: Final = CHECKOUT / "docs" / "model-quality.md"
TRIED: Final = HERE / "tried.md"

FOLDS: Final = 5
SAMPLES: Final = 500
QUICK_PATIENTS: Final = 3_000
QUICK_SAMPLES: Final = 100


def main(arguments: list[str] | None = None) -> int:
    """Measure, print the tables and write the files. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--quick", action="store_true", help="2 folds of few patients: proves that it runs, measures nothing"
    )
    parser.add_argument("--page", type=Path, help="where to write the page (Markdown)")
    parser.add_argument("--report", type=Path, help="where to write the figures for the model card (JSON)")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    progress = Progress()
    try:
        settings = DataSettings()
        progress.say("reading the data set")
        cohort = encounters.read(settings, patients=QUICK_PATIENTS if options.quick else None)
        found = figures.find(
            cohort,
            settings,
            folds=2 if options.quick else FOLDS,
            samples=QUICK_SAMPLES if options.quick else SAMPLES,
            candidates=(HEADLINE,) if options.quick else candidates_by_default(),
            progress=progress,
        )
    except ReadmissionDataError as error:
        progress.say(f"cannot measure: {error}")
        return 1
    sys.stdout.write(report.to_text(found))
    # The files of the project speak of the public data set, measured in full; other runs name their own.
    in_full = cohort.source.kind == "uci" and not options.quick
    page = options.page or (PAGE if in_full else None)
    card = options.report or (PACKAGED if in_full else None)
    if page:
        page.write_text(report.to_markdown(found, TRIED.read_text(encoding="utf-8")), encoding="utf-8")
    if card:
        report.merge(card, found.dataset_sha256, report.card_figures(found))
    progress.say("done")
    return 0


if __name__ == "__main__":
    sys.exit(main())
