"""A model compared with the LACE index, and the value of both for a team that acts on them."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from readmission_data.model_version.scoring import Scores
from readmission_data.model_version.sources import Encounters
from readmission_data.training.benefit import Workload, net_benefit, rate_by_points, workload
from readmission_data.training.bootstrap import Interval, intervals, paired_bootstraps
from readmission_data.training.lace import lace

MODEL: Final = "This model"
LACE: Final = "LACE index"
EVERYBODY: Final = "Everybody"

_MEASURES: Final = ("roc_auc", "average_precision")


@dataclass(frozen=True)
class AgainstLace:
    """Figures on test. lace and lead: LACE's quality, and the model's lead over it, by measure.

    workload: by name, for each of `benefit.SHARES`; benefit: by name, for each of `benefit.THRESHOLDS`.
    """

    lace: dict[str, Interval]
    lead: dict[str, Interval]
    workload: dict[str, list[Workload]]
    benefit: dict[str, list[float]]


def compare(train: Encounters, test: Encounters, risks: Scores, *, samples: int, seed: int) -> AgainstLace:
    """Compare the model's risks [n] of the n test encounters with LACE.

    A decision needs a risk, so LACE points count as the rate of the train encounters with as many points.
    """
    labels, patients = test.labels, test.patients
    points = lace(test.frame)
    rates = rate_by_points(lace(train.frame), train.labels)
    by_points = rates[np.minimum(points, len(rates) - 1)]
    scores = points.astype(np.float64)
    return AgainstLace(
        lace=intervals(
            labels,
            scores,
            threshold=0.5,
            samples=samples,
            seed=seed,
            clusters=patients,
            names=_MEASURES,
        ),
        lead=paired_bootstraps(labels, risks, scores, _MEASURES, samples, seed, patients),
        workload={MODEL: workload(labels, risks), LACE: workload(labels, scores)},
        benefit={
            MODEL: net_benefit(labels, risks),
            LACE: net_benefit(labels, by_points),
            EVERYBODY: net_benefit(labels, np.ones(len(labels))),
        },
    )
