"""Choice of the features that models see, on train alone."""

from collections.abc import Sequence
from typing import Any, Final

import lightgbm as lgb
import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.model_selection import GroupKFold

from readmission_data.clean.encoding import Float32Array

CHOSEN: Final = 50
FOLDS: Final = 5
TREES: Final = 60

_SETTINGS: Final[dict[str, Any]] = {
    "objective": "binary",
    "learning_rate": 0.1,
    "num_leaves": 16,
    "min_child_samples": 100,
    # Each tree sees some of the features, so that of two that say the same both are measured.
    "feature_fraction": 0.4,
    "lambda_l2": 10.0,
    "max_bin": 63,
    "num_threads": 1,
    "deterministic": True,
    "force_col_wise": True,
    "verbose": -1,
}


def select(
    matrix: Float32Array,
    label: npt.NDArray[np.int8],
    groups: npt.NDArray[np.int64],
    names: Sequence[str],
    k: int = CHOSEN,
    seed: int = 0,
) -> pd.DataFrame:
    """Return the k best features: name, score, rank (1 is the best).

    matrix: train's cross-fitted features [n, features]; label [n]; groups: the patients [n].
    The score is the share of the loss that a feature takes away in a boosted forest, averaged over forests
    that each leave out a fifth of the patients: a feature that only helps with some patients' luck does not
    stand up in all of them. Rates come cross-fitted, so a field of many levels has no head start. In
    patient-grouped cross-validation the 50 cost less than 0.002 of ROC AUC against all features
    (`quality/cross_validation.py` measures it). The same input gives the same choice, on one thread.
    """
    settings = _SETTINGS | {"seed": seed}
    dataset = lgb.Dataset(matrix, label, feature_name=list(names), params=settings, free_raw_data=False)
    folds = GroupKFold(FOLDS, shuffle=True, random_state=seed).split(matrix, groups=groups)
    shares = np.zeros((FOLDS, len(names)))
    for fold, (kept, _) in enumerate(folds):
        forest = lgb.train(settings, dataset.subset(np.sort(kept).tolist()), TREES)
        gain = forest.feature_importance("gain")
        shares[fold] = gain / max(gain.sum(), np.finfo(float).tiny)
    score = shares.mean(axis=0)
    # Stable, so that features of equal score stay in their order.
    best = np.argsort(-score, kind="stable")[:k]
    return pd.DataFrame(
        {
            "name": [names[position] for position in best],
            "score": score[best],
            "rank": np.arange(1, len(best) + 1),
        }
    )
