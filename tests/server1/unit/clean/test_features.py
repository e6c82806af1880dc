import numpy as np
import pandas as pd
import pytest

from readmission_data.clean import features, icd9
from readmission_data.clean.rates import RATES
from readmission_data.encounters import levels
from readmission_data.encounters.columns import COLUMNS, DRUGS


@pytest.fixture(scope="module")
def by_rule(train):
    encoding = features.assemble(features.by_rule())
    return pd.DataFrame(encoding.transform(train), columns=list(encoding.names))


def test_age_is_the_middle_of_its_band(by_rule, train):
    expected = train["age"].map(dict(zip(levels.AGES, range(5, 105, 10), strict=True)))
    np.testing.assert_array_equal(by_rule["age_years"], expected)


def test_order_is_kept_where_it_means_something(by_rule, train):
    np.testing.assert_array_equal(
        by_rule["insulin_dose"], train["insulin"].map({"No": 0, "Down": 1, "Steady": 2, "Up": 3})
    )
    np.testing.assert_array_equal(
        by_rule["A1Cresult_rank"], train["A1Cresult"].map({"None": 0, "Norm": 1, ">7": 2, ">8": 3})
    )
    np.testing.assert_array_equal(
        by_rule["max_glu_serum_rank"],
        train["max_glu_serum"].map({"None": 0, "Norm": 1, ">200": 2, ">300": 3}),
    )


def test_sums_and_counts(by_rule, train):
    visits = train[["number_outpatient", "number_emergency", "number_inpatient"]].sum(axis=1)
    np.testing.assert_array_equal(by_rule["number_visits"], visits)
    doses = train[list(DRUGS)]
    np.testing.assert_array_equal(by_rule["drugs_taken"], (doses != "No").sum(axis=1))
    np.testing.assert_array_equal(by_rule["doses_changed"], doses.isin(["Up", "Down"]).sum(axis=1))
    np.testing.assert_array_equal(
        by_rule["oral_drugs_taken"], (doses.drop(columns="insulin") != "No").sum(axis=1)
    )


def test_one_hots_say_one_level_each_and_missing_is_one(by_rule, train):
    race = by_rule[[name for name in by_rule if name.startswith("race_is_")]]
    assert (race.sum(axis=1) == 1).all()
    np.testing.assert_array_equal(race["race_is_missing"] == 1, train["race"].isna())
    np.testing.assert_array_equal(by_rule["diabetesMed_is_yes"] == 1, train["diabetesMed"] == "Yes")


def test_a_diagnosis_is_in_one_group_and_a_missing_one_in_none(by_rule, train):
    for diagnosis in ("diag_1", "diag_2", "diag_3"):
        flags = by_rule[[f"{diagnosis}_is_{group}" for group in icd9.GROUPS]]
        np.testing.assert_array_equal(flags.sum(axis=1), train[diagnosis].notna())
    np.testing.assert_array_equal(
        by_rule["diagnoses_diabetes"],
        sum(train[name].str.partition(".")[0].eq("250") for name in ("diag_1", "diag_2", "diag_3")),
    )


def test_nothing_that_identifies_a_person_or_the_outcome_is_a_feature():
    fields = {name for definition in features.by_rule() for name in definition.feature.sources}
    fields |= {name for rate in RATES for name in rate.key.fields}
    assert not fields & {"encounter_id", "patient_nbr", "weight", "readmitted"}
    # Every other field of a request is used.
    assert fields == {column.name for column in COLUMNS} - {
        "encounter_id",
        "patient_nbr",
        "weight",
        "readmitted",
    }


def test_names_are_distinct_and_fit_a_database_column():
    names = [definition.feature.name for definition in features.by_rule()] + [rate.name for rate in RATES]
    # MySQL's column names are case-insensitive.
    assert len({name.lower() for name in names}) == len(names)
    assert all(name.isidentifier() and len(name) <= 64 for name in names)
