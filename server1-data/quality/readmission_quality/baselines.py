"""The candidates against the LACE index, what each is worth to a team that acts on it, and its intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from readmission_data.model_version import risk_intervals
from readmission_data.model_version.contract import RiskIntervals
from readmission_data.raw.split import Split, judges
from readmission_data.training import bootstrap
from readmission_data.training.benefit import THRESHOLDS, Workload, net_benefit, rate_by_points, workload
from readmission_data.training.bootstrap import Interval
from readmission_data.training.lace import lace
from readmission_data.training.subgroups import GROUP_COLUMNS
from readmission_quality import pipelines
from readmission_quality.encounters import Encounters
from readmission_quality.evaluation import QUALITY
from readmission_quality.partitions import LACE
from readmission_quality.pipelines import Scores
from readmission_quality.progress import Progress

EVERYBODY: Final = "everybody"


@dataclass(frozen=True)
class Comparison:
    """The product's test split, scored by each model that was fitted on its train split.

    quality: by model, then by measure; LACE is one of the models. lead: what each candidate has over LACE, on
    the same draws of patients. benefit: net benefit at `THRESHOLDS` by model. workload: by model.
    intervals: by candidate, with their coverage.
    """

    quality: dict[str, dict[str, Interval]]
    lead: dict[str, dict[str, Interval]]
    benefit: dict[str, list[float]]
    workload: dict[str, list[Workload]]
    intervals: dict[str, RiskIntervals]
    rows: int


def score(
    encounters: Encounters, *, candidates: Sequence[str], seed: int, progress: Progress
) -> dict[str, Scores]:
    """Fit each candidate on the product's train split; return its scores of all other rows, in order."""
    train = encounters.splits == Split.TRAIN
    progress.say("product's splits: encoding and choice of features")
    prepared = pipelines.prepare(encounters.frame[train], encounters.frame[~train], seed)
    scores = {}
    for name in candidates:
        progress.say(f"product's splits: {name}")
        scores[name], _ = pipelines.served(prepared, name, seed)
    return scores


def compare(
    encounters: Encounters, scores: Mapping[str, Scores], *, salt: str, samples: int, seed: int
) -> Comparison:
    """Compare what `score` returned with LACE on the test split; the intervals come from validation."""
    held_out = encounters.splits != Split.TRAIN
    test = encounters.splits == Split.TEST
    judging = (encounters.splits == Split.VALIDATION) & judges(encounters.patients, salt)
    labels, patients = encounters.labels[test], encounters.patients[test]
    tested = {name: scored[test[held_out]] for name, scored in scores.items()}
    points = lace(encounters.frame)
    # A decision needs a risk, so points become the rate of train encounters with as many.
    rates = rate_by_points(points[~held_out], encounters.labels[~held_out])
    ranks = tested | {LACE: points[test].astype(np.float64)}
    risks = tested | {LACE: rates[np.minimum(points[test], len(rates) - 1)], EVERYBODY: np.ones(len(labels))}

    def intervals(name: str) -> RiskIntervals:
        found = risk_intervals.fit(
            encounters.labels[judging],
            scores[name][judging[held_out]],
            encounters.patients[judging],
            samples=samples,
            seed=seed,
        )
        groups = encounters.frame.loc[test, list(GROUP_COLUMNS)].reset_index(drop=True)
        return risk_intervals.covered(found, labels, tested[name], groups)

    return Comparison(
        quality={
            name: bootstrap.intervals(
                labels,
                scored,
                threshold=0.5,
                samples=samples,
                seed=seed,
                clusters=patients,
                names=QUALITY,
            )
            for name, scored in ranks.items()
        },
        lead={
            name: bootstrap.paired_bootstraps(labels, scored, ranks[LACE], QUALITY, samples, seed, patients)
            for name, scored in tested.items()
        },
        benefit={name: net_benefit(labels, risk, THRESHOLDS) for name, risk in risks.items()},
        workload={name: workload(labels, scored) for name, scored in ranks.items()},
        intervals={name: intervals(name) for name in scores},
        rows=len(labels),
    )
