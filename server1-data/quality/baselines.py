"""Measures how far the figures vary over ten partitions, and compares candidates with the LACE index.

Run it with the data environment: `.venvs/data/bin/python server1-data/quality/baselines.py`.
"""

import argparse
import logging
import sys
from pathlib import Path
from typing import Final

from readmission_data.errors import ReadmissionDataError
from readmission_data.model_version.quality_report import PACKAGED
from readmission_data.settings import DataSettings
from readmission_data.training.candidates import CANDIDATES
from readmission_quality import baselines, baselines_page, encounters, partitions, report
from readmission_quality.evaluation import temporal
from readmission_quality.partitions import PARTITIONS
from readmission_quality.pipelines import HEADLINE
from readmission_quality.progress import Progress

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "model-baselines.md"

SERVED: Final = (HEADLINE, "hist_gradient_boosting")
"""The candidates that have served: ten partitions of the others would take as long and change no card."""

SAMPLES: Final = 500
QUICK_PATIENTS: Final = 3_000
QUICK_SAMPLES: Final = 100


def main(arguments: list[str] | None = None) -> int:
    """Measure and write the page. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="few patients, one candidate: proves that it runs, measures nothing",
    )
    parser.add_argument(
        "--partitions", type=int, default=PARTITIONS, help=f"0 leaves them out; by default {PARTITIONS}"
    )
    parser.add_argument(
        "--candidates",
        nargs="+",
        choices=CANDIDATES,
        default=SERVED,
        help="by default those that have served",
    )
    parser.add_argument("--page", type=Path, help="where to write the page (Markdown)")
    parser.add_argument("--report", type=Path, help="where to write the figures for the model card (JSON)")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    progress = Progress()
    number = 2 if options.quick else options.partitions
    samples = QUICK_SAMPLES if options.quick else SAMPLES
    candidates = (HEADLINE,) if options.quick else tuple(options.candidates)
    try:
        settings = DataSettings()
        progress.say("reading the data set")
        cohort = encounters.read(settings, patients=QUICK_PATIENTS if options.quick else None)
    except ReadmissionDataError as error:
        progress.say(f"cannot measure: {error}")
        return 1
    seed = settings.seed
    scores = baselines.score(cohort, candidates=candidates, seed=seed, progress=progress)
    progress.say("product's splits: intervals")
    compared = baselines.compare(cohort, scores, salt=settings.split_salt, samples=samples, seed=seed)
    progress.say("later encounters")
    late = {
        name: held_out.quality(samples, seed)
        for name, held_out in temporal(cohort, candidates, seed, patients_apart=True).items()
    }
    spreads = {}
    if number:
        spreads = partitions.measure(
            cohort, partitions=number, candidates=candidates, seed=seed, progress=progress
        )
    text = baselines_page.to_markdown(
        cohort.source.kind, cohort.source.sha256, number, spreads, compared, late
    )
    sys.stdout.write(text)
    # The files of the project speak of the public data set, measured in full; other runs name their own.
    in_full = cohort.source.kind == "uci" and not options.quick
    page = options.page or (PAGE if in_full else None)
    card = options.report or (PACKAGED if in_full else None)
    if page:
        page.write_text(text, encoding="utf-8")
    if card:
        found = {
            name: {"temporal": report.held_out_figures(late[name])}
            | (
                {"partitions": {"number": number} | report.spread_figures(spreads[name])}
                if name in spreads
                else {}
            )
            for name in candidates
        }
        report.merge(card, cohort.source.sha256, found)
    progress.say("done")
    return 0


if __name__ == "__main__":
    sys.exit(main())
