"""The candidates against the LACE index, and what either is worth to a team that acts on it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from readmission_data.raw.split import Split
from readmission_data.training import bootstrap
from readmission_data.training.benefit import THRESHOLDS, Workload, net_benefit, rate_by_points, workload
from readmission_data.training.bootstrap import Interval
from readmission_data.training.lace import lace
from readmission_quality import pipelines
from readmission_quality.encounters import Encounters
from readmission_quality.evaluation import QUALITY
from readmission_quality.partitions import LACE
from readmission_quality.progress import Progress

EVERYBODY: Final = "everybody"


@dataclass(frozen=True)
class Comparison:
    """The product's test split, scored by each model that was fitted on its train split.

    quality: by model, then by measure; LACE is one of the models. lead: what each candidate has over LACE, on
    the same draws of patients. benefit: net benefit at `THRESHOLDS` by model. workload: by model.
    """

    quality: dict[str, dict[str, Interval]]
    lead: dict[str, dict[str, Interval]]
    benefit: dict[str, list[float]]
    workload: dict[str, list[Workload]]
    rows: int


def compare(
    encounters: Encounters, *, candidates: Sequence[str], samples: int, seed: int, progress: Progress
) -> Comparison:
    """Fit each candidate on the product's train split and compare it with LACE on its test split."""
    train, test = encounters.splits == Split.TRAIN, encounters.splits == Split.TEST
    progress.say("product's splits: encoding and choice of features")
    prepared = pipelines.prepare(encounters.frame[train], encounters.frame[test], seed)
    labels, patients = encounters.labels[test], encounters.patients[test]
    scores = {}
    for name in candidates:
        progress.say(f"product's splits: {name}")
        scores[name], _ = pipelines.served(prepared, name, seed)
    points = lace(encounters.frame)
    # A decision needs a risk, so points become the rate of train encounters with as many.
    rates = rate_by_points(points[train], encounters.labels[train])
    ranks = scores | {LACE: points[test].astype(np.float64)}
    risks = scores | {LACE: rates[np.minimum(points[test], len(rates) - 1)], EVERYBODY: np.ones(len(labels))}
    progress.say("product's splits: intervals")
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
            name: {
                measure: bootstrap.paired_bootstrap(
                    labels, scores[name], ranks[LACE], measure, samples, seed, patients
                )
                for measure in QUALITY
            }
            for name in candidates
        },
        benefit={name: net_benefit(labels, risk, THRESHOLDS) for name, risk in risks.items()},
        workload={name: workload(labels, scored) for name, scored in ranks.items()},
        rows=len(labels),
    )
