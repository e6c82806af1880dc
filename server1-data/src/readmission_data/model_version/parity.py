"""Check that a graph computes the same probabilities as scikit-learn."""

from collections.abc import Iterable
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
import onnx
import pandas as pd

from readmission_data.clean.encoding import Encoding
from readmission_data.errors import ParityError
from readmission_data.model_version import scoring

TOLERANCE: Final = 1e-6
"""The largest difference of two probabilities at which the models still count as equal."""


class Classifier(Protocol):
    """A fitted scikit-learn classifier of two classes."""

    def predict_proba(self, features: npt.NDArray[np.float64], /) -> npt.NDArray[np.floating]:
        """Return the probabilities [n, 2] of features [n, F]."""


def risk(encoding: Encoding, estimator: Classifier, frame: pd.DataFrame) -> scoring.Scores:
    """Return scikit-learn's probability [n] of readmission for an encounters frame.

    The features are float32 numbers, passed in double precision as in the graph. Trees decide the same, and a
    linear model, which computes in the precision of its input, would otherwise be off by 5e-7.
    """
    if frame.empty:
        return np.empty(0)
    features = encoding.transform(frame).astype(np.float64)
    return np.asarray(estimator.predict_proba(features)[:, 1], dtype=np.float64)


def worst_difference(
    model: onnx.ModelProto, encoding: Encoding, estimator: Classifier, frames: Iterable[pd.DataFrame]
) -> float:
    """Return the largest difference of the two probabilities over all rows of some encounters frames.

    Return NaN if either side returns one; no comparison accepts it.
    """
    session = scoring.session(model.SerializeToString())
    worst = 0.0
    for frame in frames:
        ours = scoring.score(session, frame, encoding.numeric, encoding.categorical)
        differences = np.abs(ours - risk(encoding, estimator, frame))
        worst = float(np.max(differences, initial=worst))
    return worst


def check(
    candidate: str,
    model: onnx.ModelProto,
    encoding: Encoding,
    estimator: Classifier,
    frames: Iterable[pd.DataFrame],
) -> float:
    """Return the worst difference. Raise `ParityError` if it is above TOLERANCE."""
    difference = worst_difference(model, encoding, estimator, frames)
    # Written so that a NaN is refused.
    if not difference <= TOLERANCE:
        raise ParityError(
            f"{candidate} cannot be registered: its ONNX graph differs from scikit-learn by "
            f"{difference:.2g}, more than {TOLERANCE:g}"
        )
    return difference
