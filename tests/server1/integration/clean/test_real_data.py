"""The published study's figures about the data, reproduced with this package's rules."""

import pytest

from readmission_data.clean import cohort, icd9
from readmission_data.encounters import icd9_codes
from readmission_data.encounters.columns import MISSING
from support.encounters import read_csv


@pytest.fixture(scope="module")
def real(real_dataset):
    return read_csv(real_dataset)


def test_the_cohort_is_known(real):
    kept = real[cohort.keep(real)]
    assert (len(real), len(kept)) == (101_766, 99_343)
    assert cohort.label(kept).mean() == pytest.approx(0.1139, abs=1e-4)


def test_the_diagnosis_groups_have_the_shares_of_the_study(real):
    """Strack et al. 2014, table 3: primary diagnosis of each patient's first encounter."""
    published = {
        "circulatory": 0.306,
        "diabetes": 0.082,
        "respiratory": 0.136,
        "digestive": 0.093,
        "injury": 0.067,
        "musculoskeletal": 0.058,
        "genitourinary": 0.049,
        "neoplasms": 0.036,
        "other": 0.173,
    }
    first = real.drop_duplicates("patient_nbr")
    first = first[cohort.keep(first)]
    groups = first["diag_1"].dropna().map(lambda code: icd9.group(icd9.stem(code)))
    assert groups.value_counts(normalize=True).to_dict() == pytest.approx(published, abs=0.003)


def test_the_diagnosis_codes_are_spelled_without_leading_zeros(real):
    for name in ("diag_1", "diag_2", "diag_3"):
        codes = real[name].fillna(MISSING).unique()
        assert all(icd9_codes.canonical(code) == code for code in codes)
