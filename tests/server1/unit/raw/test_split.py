import hashlib

import numpy as np

from readmission_data.raw.split import ORDER, Split, assign, judges

SALT = "readmission-1"


def test_shares_are_70_15_15():
    codes = assign(np.arange(1, 200_001), SALT)

    shares = np.bincount(codes, minlength=3) / len(codes)

    # Four standard deviations of a share of 200,000 draws.
    assert np.abs(shares - [0.70, 0.15, 0.15]).max() < 0.0041


def test_a_patient_has_one_split_wherever_and_whenever_it_comes():
    patients = np.array([5, 7, 5, 99, 7])

    together = assign(patients, SALT)
    alone = np.concatenate([assign(np.array([patient]), SALT) for patient in patients])

    assert together.tolist() == alone.tolist()


def test_the_split_is_the_documented_hash():
    def documented(patient: int) -> Split:
        digits = hashlib.sha256(f"{SALT}:{patient}".encode()).hexdigest()[:8]
        fraction = int(digits, 16) / 4294967296
        return Split.TRAIN if fraction < 0.70 else Split.VALIDATION if fraction < 0.85 else Split.TEST

    patients = np.arange(135, 2_135)

    assert [ORDER[code] for code in assign(patients, SALT)] == [documented(patient) for patient in patients]


def test_the_split_never_changes():
    # Patients of the public data set: if one of them moved, models would have been trained on test rows.
    codes = assign(np.array([8222157, 55629189, 86047875, 82442376, 42519267, 82637451]), SALT)

    expected = ["validation", "train", "train", "train", "validation", "train"]
    assert [ORDER[code].value for code in codes] == expected


def test_another_salt_gives_another_split():
    patients = np.arange(1, 1_001)

    assert (assign(patients, SALT) != assign(patients, "other")).any()


def test_no_patients_give_no_splits():
    assert assign(np.array([], dtype=np.int64), SALT).tolist() == []


def test_half_of_validation_judges_and_the_other_half_chooses():
    patients = np.arange(1, 200_001)
    validation = patients[assign(patients, SALT) == ORDER.index(Split.VALIDATION)]

    judging = judges(validation, SALT)

    assert abs(judging.mean() - 0.5) < 0.012
    documented = [
        int(hashlib.sha256(f"{SALT}:{patient}".encode()).hexdigest()[:8], 16) / 4294967296 >= 0.775
        for patient in validation[:2_000].tolist()
    ]
    assert judging[:2_000].tolist() == documented
