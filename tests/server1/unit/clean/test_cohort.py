import pandas as pd
import pytest

from readmission_data.clean import cohort


def test_discharges_to_death_or_hospice_leave():
    codes = [str(code) for code in range(1, 31)]
    frame = pd.DataFrame({"discharge_disposition_id": codes, "readmitted": "NO"})
    left_out = {code for code, kept in zip(codes, cohort.keep(frame), strict=True) if not kept}
    assert left_out == {"11", "13", "14", "19", "20", "21"}
    as_category = frame.astype("category")
    assert (cohort.keep(as_category) == cohort.keep(frame)).all()


@pytest.mark.parametrize("kind", ["str", "category"])
def test_an_encounter_whose_outcome_is_pending_waits(kind):
    outcomes = ["NO", "pending", "<30", ">30"]
    frame = pd.DataFrame({"discharge_disposition_id": ["1"] * 4, "readmitted": outcomes}).astype(kind)
    assert cohort.keep(frame).tolist() == [True, False, True, True]


def test_only_a_return_within_thirty_days_is_positive():
    frame = pd.DataFrame({"readmitted": ["NO", "<30", ">30"]})
    assert cohort.label(frame).tolist() == [0, 1, 0]
