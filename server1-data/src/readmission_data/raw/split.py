"""The assignment of patients to splits."""

import hashlib
from enum import StrEnum
from typing import Final

import numpy as np
import numpy.typing as npt

Patients = npt.NDArray[np.int64]
Codes = npt.NDArray[np.int8]
Mask = npt.NDArray[np.bool_]


class Split(StrEnum):
    """The three parts of the patients."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


ORDER: Final = (Split.TRAIN, Split.VALIDATION, Split.TEST)
"""The splits that the codes of `assign` refer to."""

TRAIN_SHARE: Final = 0.70
VALIDATION_SHARE: Final = 0.15
CHOOSING_SHARE: Final = 0.075
"""The part of validation that chooses settings and the candidate; the rest judges the result."""

# The hash is read as a fraction of 2**32: its first 8 hexadecimal digits.
_VALIDATION_FROM: Final = TRAIN_SHARE * 2**32
_JUDGING_FROM: Final = (TRAIN_SHARE + CHOOSING_SHARE) * 2**32
_TEST_FROM: Final = (TRAIN_SHARE + VALIDATION_SHARE) * 2**32


def assign(patients: Patients, salt: str) -> Codes:
    """Return each patient's split as an index into `ORDER`, for n patient numbers.

    The split depends on the patient's number and the salt only: it never changes as data arrives, and all
    encounters of a patient share it. Anyone can compute it again in MySQL, as
    `CONV(LEFT(SHA2(CONCAT(salt, ':', patient_nbr), 256), 8), 16, 10) / 4294967296`: train below 0.70,
    validation below 0.85, test from there.
    """
    fractions = _fractions(patients, salt)
    codes = (fractions >= _VALIDATION_FROM).astype(np.int8) + (fractions >= _TEST_FROM)
    return codes.astype(np.int8)


def judges(patients: Patients, salt: str) -> Mask:
    """Return a mask [n]: whether each patient of the validation split belongs to the part that judges.

    The part below 0.775 of the same fraction chooses the settings and the candidate. If the gate compared
    versions on the rows that chose them, the luckiest of several equal fits would look better than it is.
    """
    mask: Mask = _fractions(patients, salt) >= _JUDGING_FROM
    return mask


def _fractions(patients: Patients, salt: str) -> npt.NDArray[np.uint32]:
    """Return each patient's hash as an integer below 2**32."""
    unique, positions = np.unique(patients, return_inverse=True)
    start = hashlib.sha256(f"{salt}:".encode())
    digests = bytearray()
    for patient in unique.tolist():
        hashed = start.copy()
        hashed.update(b"%d" % patient)
        digests += hashed.digest()[:4]
    return np.frombuffer(bytes(digests), dtype=">u4").astype(np.uint32)[positions]
