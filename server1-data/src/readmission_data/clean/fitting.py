"""Fitting of the encoding: how often each level was readmitted, on train alone.

The rate of a level is scikit-learn's TargetEncoder: the level's mean pulled towards the mean of all.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.model_selection import GroupKFold
from sklearn.preprocessing import TargetEncoder

from readmission_data.clean import features, icd9
from readmission_data.clean.encoding import STEP, Encoding, Feature, FeatureKind, Float32Array
from readmission_data.encounters.columns import MISSING

RATED: Final = (
    *features.DIAGNOSES,
    "medical_specialty",
    "payer_code",
    "discharge_disposition_id",
    "admission_source_id",
)
"""Fields of many levels, turned into the readmission rate of the level."""

FOLDS: Final = 5
SMOOTHING: Final = 30.0
"""Encounters' worth of the overall rate that every level's own rate is mixed with."""


def fit(
    train: pd.DataFrame,
    label: npt.NDArray[np.int8],
    groups: npt.NDArray[np.int64],
    seed: int,
) -> tuple[Encoding, Float32Array]:
    """Return the encoding fitted on train and train's own features [n, features], cross-fitted.

    train: encounters frame of n rows; label: 0/1 [n]; groups: the patients [n].
    The encoding's rates come from all of train. In the returned matrix the rates of a row come from the
    other folds, and a patient lies in one fold as a whole: no row sees its own label, nor that of another
    encounter of the same patient. The folds do not depend on the labels.
    """
    codes, levels = _rated_codes(train)
    folds = GroupKFold(FOLDS, shuffle=True, random_state=seed).split(codes, groups=groups)
    encoder = TargetEncoder(target_type="binary", smooth=SMOOTHING, cv=folds)
    crossed = encoder.fit_transform(codes, label)
    overall = float(_on_grid(encoder.target_mean_))
    rates = [
        _rate(field, dict(zip(known, _on_grid(values).tolist(), strict=True)), overall)
        for field, known, values in zip(RATED, levels, encoder.encodings_, strict=True)
    ]
    encoding = features.assemble([*features.by_rule(), *rates])
    matrix = encoding.transform(train)
    matrix[:, -len(rates) :] = _on_grid(crossed)
    return encoding, matrix


def _rated_codes(train: pd.DataFrame) -> tuple[npt.NDArray[np.int64], list[list[str]]]:
    """Return each rated field's level as a number [n, fields], and the levels by number (sorted)."""
    codes = np.empty((len(train), len(RATED)), dtype=np.int64)
    levels = []
    for position, field in enumerate(RATED):
        raw_codes, uniques = pd.factorize(train[field], use_na_sentinel=False)
        texts = [MISSING if pd.isna(value) else str(value) for value in uniques.tolist()]
        if field in features.DIAGNOSES:
            # 008 and 8 are one diagnosis.
            texts = [icd9.shortest(icd9.key(text)) for text in texts]
        known = sorted(set(texts))
        codes[:, position] = np.searchsorted(known, texts)[raw_codes]
        levels.append(known)
    return codes, levels


def _rate(field: str, rates: dict[str, float], overall: float) -> features.Definition:
    contributions: dict[str | None, float] = {None: overall}
    for level, rate in rates.items():
        spelled = icd9.spellings(level) if field in features.DIAGNOSES else (level,)
        contributions.update(dict.fromkeys(spelled, rate))
    feature = Feature(f"{field}_rate", (field,), FeatureKind.RATE)
    return features.Definition(feature, contributions={field: contributions})


def _on_grid(values: npt.NDArray[np.float64]) -> Float32Array:
    """Return the multiples of STEP nearest to the values."""
    return (np.round(values / STEP) * STEP).astype(np.float32)
