"""Ten random partitions by patient: how far the figures of one split depend on who fell into it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from readmission_data.training.lace import MOST as LACE_MOST
from readmission_data.training.lace import lace
from readmission_data.training.metrics import evaluate
from readmission_quality import pipelines
from readmission_quality.encounters import Encounters
from readmission_quality.progress import Progress

PARTITIONS: Final = 10
MEASURES: Final = ("roc_auc", "average_precision", "calibration_error", "precision_top10", "recall_top10")
LACE: Final = "LACE index"

# Of the patients, as in the product. What lies between is validation, which nothing here needs.
_TRAIN, _TEST = 0.70, 0.85


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation over the partitions, and the least and greatest value."""

    mean: float
    deviation: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Return the spread of some values."""
        return cls(float(np.mean(values)), float(np.std(values, ddof=1)), min(values), max(values))


def measure(
    encounters: Encounters, *, partitions: int, candidates: Sequence[str], seed: int, progress: Progress
) -> dict[str, dict[str, Spread]]:
    """Return each measure's spread by model: the candidates, then the LACE index."""
    drawn = []
    for number in range(partitions):
        progress.say(f"partition {number + 1}/{partitions}")
        drawn.append(one(encounters, number, candidates=candidates, seed=seed))
    return spread(drawn)


def one(
    encounters: Encounters, number: int, *, candidates: Sequence[str], seed: int
) -> dict[str, dict[str, float]]:
    """Return each measure by model in one partition.

    The whole pipeline is fitted on train and scored on test by its ONNX graph.
    """
    train, test = _parted(encounters.patients, seed + number)
    prepared = pipelines.prepare(encounters.frame[train], encounters.frame[test], seed)
    labels = encounters.labels[test]
    scores = {name: pipelines.served(prepared, name, seed)[0] for name in candidates}
    points = lace(encounters.frame[test])
    scores[LACE] = points / LACE_MOST
    return {name: evaluate(labels, scored, threshold=0.5) for name, scored in scores.items()}


def spread(drawn: Sequence[Mapping[str, Mapping[str, float]]]) -> dict[str, dict[str, Spread]]:
    """Return each measure's spread by model over partitions of `one`."""
    return {
        name: {measure: Spread.of([found[name][measure] for found in drawn]) for measure in MEASURES}
        for name in drawn[0]
    }


def _parted(
    patients: npt.NDArray[np.int64], seed: int
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return masks [n] of train and test; all encounters of a patient are on one side."""
    who, member = np.unique(patients, return_inverse=True)
    place = np.random.default_rng(seed).permutation(len(who))[member] / len(who)
    return place < _TRAIN, place >= _TEST
