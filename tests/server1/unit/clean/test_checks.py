import pandas as pd
import pytest

from readmission_data.clean import checks, cohort, fitting, tables
from readmission_data.errors import CheckError


def test_a_good_frame_passes(encounters, train):
    checks.check(checks.ENCOUNTERS, encounters, "train")
    checks.check(checks.COHORT, train, "train")


@pytest.mark.parametrize(
    ("column", "value", "complaint"),
    [
        ("time_in_hospital", 15, "time_in_hospital fails in_range"),
        ("number_inpatient", -1, "number_inpatient fails in_range"),
        ("race", "Martian", "race fails known level"),
        ("diag_2", "4Z8.1", "diag_2 fails ICD-9 code"),
        ("gender", None, "gender fails not_nullable"),
        ("encounter_id", 0, "encounter_id fails"),
    ],
)
def test_a_broken_value_is_named_by_its_column_and_never_shown(encounters, column, value, complaint):
    broken = encounters.copy()
    broken.loc[5, column] = value
    with pytest.raises(CheckError, match=complaint) as error:
        checks.check(checks.ENCOUNTERS, broken, "train of RawData")
    assert str(error.value).startswith("train of RawData: ")
    assert "Martian" not in str(error.value)
    assert "4Z8" not in str(error.value)
    assert error.value.__suppress_context__


def test_the_frame_as_a_whole_is_checked(encounters):
    with pytest.raises(CheckError, match="column readmitted is missing"):
        checks.check(checks.ENCOUNTERS, encounters.drop(columns="readmitted"), "train")
    with pytest.raises(CheckError, match="column ssn is unknown"):
        checks.check(checks.ENCOUNTERS, encounters.assign(ssn=1), "train")
    with pytest.raises(CheckError, match="at least one row"):
        checks.check(checks.ENCOUNTERS, encounters.iloc[:0], "train")
    twice = pd.concat([encounters, encounters.iloc[:1]])
    with pytest.raises(CheckError, match="encounter_id fails field_uniqueness"):
        checks.check(checks.ENCOUNTERS, twice, "train")


def test_a_discharge_to_hospice_is_no_cohort(encounters):
    assert not cohort.keep(encounters).all()
    with pytest.raises(CheckError, match="discharge_disposition_id fails known level"):
        checks.check(checks.COHORT, encounters, "train")


def test_processed_features_have_no_gap_and_stay_in_their_bounds(train):
    encoding = fitting.fit(train, seed=1)[0].select(["payer_rate", "number_visits"])
    processed = pd.DataFrame(encoding.transform(train), columns=list(encoding.names))
    processed.insert(0, "encounter_id", train["encounter_id"])
    processed.insert(1, tables.LABEL, cohort.label(train))
    schema = checks.processed(encoding.features)
    checks.check(schema, processed, "train")
    for column, value in (("payer_rate", 1.5), ("number_visits", float("nan")), (tables.LABEL, 2)):
        broken = processed.copy()
        broken.loc[3, column] = value
        with pytest.raises(CheckError, match=column):
            checks.check(schema, broken.astype({tables.LABEL: "int8"}), "train")


def test_a_patient_in_two_splits_is_refused(train):
    half = len(train) // 2
    with pytest.raises(CheckError, match="patients are in two splits"):
        checks.check_patients_apart({"train": train, "test": train.iloc[half:]})
    odd = train["patient_nbr"] % 2 == 1
    checks.check_patients_apart({"train": train[odd], "test": train[~odd]})


def test_a_train_without_both_outcomes_is_refused(train):
    label = pd.Series(cohort.label(train))
    checks.check_learnable(label, train["patient_nbr"], folds=5)
    with pytest.raises(CheckError, match="same outcome"):
        checks.check_learnable(label * 0, train["patient_nbr"], folds=5)
    with pytest.raises(CheckError, match="3 patients"):
        checks.check_learnable(label, train["patient_nbr"] % 3, folds=5)
