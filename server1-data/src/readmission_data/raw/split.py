"""Which patient belongs to which split."""

import hashlib
from enum import StrEnum
from typing import Final

import numpy as np
import numpy.typing as npt

Patients = npt.NDArray[np.int64]
Codes = npt.NDArray[np.int8]


class Split(StrEnum):
    """The three parts of the patients."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


ORDER: Final = (Split.TRAIN, Split.VALIDATION, Split.TEST)
"""What a code of `assign` stands for."""

TRAIN_SHARE: Final = 0.70
VALIDATION_SHARE: Final = 0.15

# The hash is read as a fraction of 2**32: its first 8 hexadecimal digits.
_VALIDATION_FROM: Final = TRAIN_SHARE * 2**32
_TEST_FROM: Final = (TRAIN_SHARE + VALIDATION_SHARE) * 2**32


def assign(patients: Patients, salt: str) -> Codes:
    """Give each patient's split as an index into `ORDER`, for n patient numbers.

    The split hangs on the patient's number and the salt alone: it never changes as data arrives, and all
    encounters of a patient share it. Anyone can work it out again in MySQL, as
    `CONV(LEFT(SHA2(CONCAT(salt, ':', patient_nbr), 256), 8), 16, 10) / 4294967296`: train below 0.70,
    validation below 0.85, test from there.
    """
    unique, positions = np.unique(patients, return_inverse=True)
    start = hashlib.sha256(f"{salt}:".encode())
    digests = bytearray()
    for patient in unique.tolist():
        hashed = start.copy()
        hashed.update(b"%d" % patient)
        digests += hashed.digest()[:4]
    fractions = np.frombuffer(bytes(digests), dtype=">u4")
    codes = (fractions >= _VALIDATION_FROM).astype(np.int8) + (fractions >= _TEST_FROM)
    return codes.astype(np.int8)[positions]
