"""Fitting of the encoding: how often each level was readmitted, on the train split only.

The rate of a level is scikit-learn's TargetEncoder: the level's mean, shrunk towards the overall mean.
"""

import itertools
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.model_selection import GroupKFold
from sklearn.preprocessing import TargetEncoder

from readmission_data.clean import cohort, features
from readmission_data.clean.encoding import STEP, Encoding, Feature, FeatureKind, Float32Array
from readmission_data.clean.keys import CROSS, Coded, Codes, Key
from readmission_data.clean.rates import RATES, Rate

FOLDS: Final = 5


def fit(train: pd.DataFrame, seed: int) -> tuple[Encoding, Float32Array]:
    """Return the encoding fitted on train and train's own features [n, features], cross-fitted.

    train: encounters frame of n rows, all in the cohort, with `readmitted` and `patient_nbr`.
    The encoding's rates are computed from all of train. In the returned matrix, the rates of a row come from
    the other folds, and all encounters of a patient are in one fold: no row sees its own label or the label
    of another encounter of the same patient. The folds do not depend on the labels.
    """
    patients = train["patient_nbr"].to_numpy()
    folds = list(GroupKFold(FOLDS, shuffle=True, random_state=seed).split(patients, groups=patients))
    levels, codes = _levels(train, [rate.key for rate in RATES])
    label = cohort.label(train)
    definitions = features.by_rule()
    crossed = np.empty((len(train), len(RATES)), dtype=np.float32)
    fitted: dict[int, features.Definition] = {}
    # One encoder for all rates with the same smoothing.
    for smoothing in sorted({rate.smoothing for rate in RATES}):
        positions = [position for position, rate in enumerate(RATES) if rate.smoothing == smoothing]
        encoder = TargetEncoder(target_type="binary", smooth=smoothing, cv=folds)
        crossed[:, positions] = _on_grid(encoder.fit_transform(codes[:, positions], label))
        overall = float(_on_grid(np.asarray(encoder.target_mean_)))
        for position, values in zip(positions, encoder.encodings_, strict=True):
            rates = dict(zip(levels[position], _on_grid(values).tolist(), strict=True))
            fitted[position] = _definition(RATES[position], rates, overall)
    encoding = features.assemble([*definitions, *(fitted[position] for position in range(len(RATES)))])
    # Train has the rates of the other folds instead of the encoding's own.
    others = features.assemble(definitions).transform(train)
    return encoding, np.hstack([others, crossed])


def _levels(train: pd.DataFrame, keys: list[Key]) -> tuple[list[list[str]], Codes]:
    """Return the levels of each key in train, and the number of each row's level [n, keys]."""
    columns = {field: Coded.of(train[field]) for key in keys for field in key.fields}
    levels = []
    codes = np.empty((len(train), len(keys)), dtype=np.int64)
    for position, key in enumerate(keys):
        parts = [columns[part.field].part(part) for part in key.parts]
        shape = [len(part.texts) for part in parts]
        cells, codes[:, position] = np.unique(
            np.ravel_multi_index([part.codes for part in parts], shape), return_inverse=True
        )
        texts = zip(
            *(
                [part.texts[code] for code in column.tolist()]
                for part, column in zip(parts, np.unravel_index(cells, shape), strict=True)
            ),
            strict=True,
        )
        levels.append([CROSS.join(text) for text in texts])
    return levels, codes


def _definition(rate: Rate, rates: dict[str, float], overall: float) -> features.Definition:
    contributions: dict[str | None, float] = {None: overall}
    for level, value in rates.items():
        spellings = (
            part.spellings(text) for part, text in zip(rate.key.parts, level.split(CROSS), strict=True)
        )
        contributions.update((CROSS.join(spelled), value) for spelled in itertools.product(*spellings))
    feature = Feature(rate.name, rate.key.fields, FeatureKind.RATE)
    return features.Definition(feature, contributions={rate.key: contributions})


def _on_grid(values: npt.NDArray[np.float64]) -> Float32Array:
    """Return the multiples of STEP nearest to the values."""
    return (np.round(values / STEP) * STEP).astype(np.float32)
