"""Ten random partitions by patient: how far the figures of one split depend on who fell into it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

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
    """Return each measure's spread by model: the candidates, then the LACE index.

    In each partition the whole pipeline is fitted on train and scored on test by its ONNX graph.
    """
    found: dict[str, list[dict[str, float]]] = {name: [] for name in (*candidates, LACE)}
    points = lace(encounters.frame)
    for number in range(partitions):
        train, test = _parted(encounters.patients, seed + number)
        progress.say(f"partition {number + 1}/{partitions}: encoding and choice of features")
        prepared = pipelines.prepare(encounters.frame[train], encounters.frame[test], seed)
        labels = encounters.labels[test]
        for name in candidates:
            progress.say(f"partition {number + 1}/{partitions}: {name}")
            scores, _ = pipelines.served(prepared, name, seed)
            found[name].append(evaluate(labels, scores, threshold=0.5))
        found[LACE].append(evaluate(labels, points[test] / points.max(), threshold=0.5))
    return {
        name: {measure: Spread.of([one[measure] for one in figures]) for measure in MEASURES}
        for name, figures in found.items()
    }


def _parted(
    patients: npt.NDArray[np.int64], seed: int
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return masks [n] of train and test; a patient lies on one side as a whole."""
    who, member = np.unique(patients, return_inverse=True)
    place = np.random.default_rng(seed).permutation(len(who))[member] / len(who)
    return place < _TRAIN, place >= _TEST
