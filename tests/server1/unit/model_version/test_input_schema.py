"""The content of input_schema.json, which must follow the committed contract."""

import json
from datetime import UTC, datetime
from pathlib import Path

import jsonschema
import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from readmission_data.clean import cohort, icd9
from readmission_data.encounters.columns import BY_NAME, DRUGS, MISSING, PREDICTORS, Kind
from readmission_data.model_version import examples, input_schema, marginals
from readmission_data.model_version.contract import Condition, Dataset, InputSchema, Interval
from support.encounters import read_csv

from .conftest import Sample

DISCHARGE = "discharge_disposition_id"
COMMITTED = Path(__file__).parents[4] / "docs" / "contracts" / "input_schema.schema.json"


@pytest.fixture(scope="module")
def schema(sample: Sample) -> InputSchema:
    risk = np.random.default_rng(0).beta(1.5, 12, 2_000)
    return input_schema.build(
        sample.train,
        icd9.GROUP_OF_STEM,
        input_schema.Described(
            candidate="lightgbm",
            created=datetime(2026, 1, 2, tzinfo=UTC),
            dataset=Dataset(
                kind="synthetic", sha256="0" * 64, synthetic=True, train_rows=3_000, batches=[1, 2]
            ),
            numeric=sample.encoding.numeric,
            categorical=sample.encoding.categorical,
            threshold=float(np.quantile(risk, 0.9)),
            validation_risk=risk,
            examples_risk=np.array([0.3, 0.1, 0.2]),
            metrics={"test": {"roc_auc": Interval(value=0.7, low=0.6, high=0.8)}},
        ),
    )


def test_the_committed_contract_is_that_of_the_code() -> None:
    assert COMMITTED.read_text(encoding="utf-8") == input_schema.json_schema(), "see docs/contracts/README.md"


def test_it_holds_to_the_committed_contract(schema: InputSchema, tmp_path: Path) -> None:
    input_schema.write(schema, tmp_path / "input_schema.json")
    contract = json.loads(COMMITTED.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(contract)
    written = json.loads((tmp_path / "input_schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(written, contract)
    assert input_schema.read(tmp_path / "input_schema.json") == schema
    del written["threshold"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(written, contract)


def test_every_predictor_is_a_field_in_order(schema: InputSchema) -> None:
    assert [field.name for field in schema.fields] == [column.name for column in PREDICTORS]
    assert len(schema.fields) == 46
    used = {field.name for field in schema.fields if field.used}
    assert used == {*schema.graph.numeric, *schema.graph.categorical}


def test_what_may_be_left_out(schema: InputSchema) -> None:
    absent = {field.name: field.absent for field in schema.fields if not field.required}
    missing = ("race", "payer_code", "medical_specialty", "diag_1", "diag_2", "diag_3")
    assert absent == (
        dict.fromkeys(missing, "?")
        | dict.fromkeys(("max_glu_serum", "A1Cresult"), "None")
        | dict.fromkeys(DRUGS, "No")
    )


def test_levels_ranges_and_patterns(schema: InputSchema) -> None:
    for field in schema.fields:
        column = BY_NAME[field.name]
        assert field.kind == column.kind
        if field.kind == "category":
            assert tuple(level.value for level in field.levels) == column.levels
            assert set(field.distribution.levels) <= {*column.levels, MISSING}
        elif field.kind == "integer":
            assert (field.minimum, field.maximum) == (column.minimum, column.maximum)
            assert field.minimum <= field.reference <= field.maximum
        else:
            assert field.pattern.startswith("^")
            assert field.pattern.endswith("$")
            assert set(field.distribution.groups) <= {*schema.icd9_groups.labels, MISSING}


def test_reference_values_are_those_of_train(schema: InputSchema, sample: Sample) -> None:
    for field in schema.fields:
        values = sample.train[field.name]
        if field.kind == "integer":
            assert field.reference == int(values.median())
        else:
            assert field.reference == values.dropna().mode().iloc[0]


def test_shares_are_those_of_train(schema: InputSchema, sample: Sample) -> None:
    race = next(field for field in schema.fields if field.name == "race")
    known = sample.train["race"].value_counts(dropna=False, normalize=True)
    assert race.distribution.levels["Caucasian"] == pytest.approx(known["Caucasian"])
    assert race.distribution.levels["?"] == pytest.approx(sample.train["race"].isna().mean())


def test_scores_are_those_of_validation(schema: InputSchema) -> None:
    assert schema.flagged_fraction == pytest.approx(0.1)
    assert schema.scores.quantiles == sorted(schema.scores.quantiles)
    assert schema.scores.quantiles[90] == pytest.approx(schema.threshold)
    assert schema.scores.distribution.shares == pytest.approx([0.1] * 10, abs=0.002)


def test_examples_are_named_by_this_model(schema: InputSchema) -> None:
    assert [example.name.en for example in schema.examples] == ["Low risk", "Middle risk", "High risk"]
    assert [example.patient for example in schema.examples] == [
        examples.PATIENTS[1],
        examples.PATIENTS[2],
        examples.PATIENTS[0],
    ]


@pytest.mark.parametrize("patient", examples.PATIENTS)
def test_examples_are_valid_patients(patient: examples.Patient) -> None:
    assert list(patient) == [column.name for column in PREDICTORS]
    for name, value in patient.items():
        column = BY_NAME[name]
        if column.kind is Kind.CATEGORY:
            assert value in column.levels
        elif column.kind is Kind.INTEGER:
            assert column.minimum <= int(value) <= column.maximum


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"numeric": ["time_in_hospital"]}, "differ from the fields marked as used"),
        ({"categorical": []}, "differ from the fields marked as used"),
    ],
)
def test_a_graph_that_does_not_match_is_refused(schema: InputSchema, change: dict, message: str) -> None:
    content = schema.model_dump(mode="json")
    content["graph"] |= change
    with pytest.raises(ValidationError, match=message):
        InputSchema.model_validate(content)


def test_the_version_carries_the_cohort_that_was_trained_on(schema: InputSchema) -> None:
    codes = [level.value for field in schema.fields if field.name == DISCHARGE for level in field.levels]
    frame = pd.DataFrame({DISCHARGE: codes, "readmitted": "NO"})
    left_out = set(frame[~cohort.keep(frame)][DISCHARGE])
    rules = schema.cohort.exclusions
    assert schema.cohort.version == cohort.COHORT_VERSION
    assert {level for rule in rules if rule.field == DISCHARGE for level in rule.levels} == left_out
    assert {rule.field for rule in rules} == {DISCHARGE}
    reasons = {level: rule.reason.en for rule in rules for level in rule.levels}
    assert "died" in reasons["11"]
    assert "hospice" in reasons["13"]


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({}, []),
        (
            {"diabetesMed": "No"},
            [
                "prescribed, but the diabetes drugs were changed",
                "prescribed, but at least one drug is listed",
            ],
        ),
        (dict.fromkeys(DRUGS, "No"), ["A diabetes drug was prescribed, but none", "changed, but none"]),
        (
            dict.fromkeys(DRUGS, "No") | {"diabetesMed": "No"},
            ["prescribed, but the diabetes drugs were changed", "were changed, but none"],
        ),
        ({"change": "No", "insulin": "Up"}, ["were not changed, but a dose"]),
        ({"insulin": "Down"}, []),
    ],
)
def test_contradictions_are_found(schema: InputSchema, change: dict[str, str], found: list[str]) -> None:
    patient = examples.PATIENTS[1] | change
    messages = [one.message.en for one in schema.contradictions if _all_true(one.when, patient)]
    assert len(messages) == len(found)
    assert all(part in message for part, message in zip(found, messages, strict=True))


def _all_true(when: list[Condition], patient: examples.Patient) -> bool:
    return all(any(patient[name] in one.levels for name in one.fields) for one in when)


def test_no_encounter_of_the_public_data_set_contradicts_itself(
    schema: InputSchema, real_dataset: Path
) -> None:
    frame = read_csv(real_dataset)
    for one in schema.contradictions:
        both = np.ones(len(frame), dtype=bool)
        for condition in one.when:
            both &= frame[condition.fields].isin(condition.levels).any(axis=1).to_numpy()
        assert not both.any(), one.message.en


@pytest.mark.parametrize(
    "rule",
    [
        {"field": "time_in_hospital", "levels": ["3"]},
        {"field": "gender", "levels": ["a level of tomorrow"]},
        {"field": "no such field", "levels": ["1"]},
    ],
)
def test_a_rule_about_something_else_is_refused(schema: InputSchema, rule: dict) -> None:
    content = schema.model_dump(mode="json")
    content["cohort"]["exclusions"] = [rule | {"reason": {"en": "No.", "es": "No."}}]
    with pytest.raises(ValidationError, match="not in the schema"):
        InputSchema.model_validate(content)


def test_a_version_of_an_earlier_minor_can_be_read(schema: InputSchema) -> None:
    content = schema.model_dump(mode="json")
    for name in ("cohort", "contradictions", "intervals"):
        del content[name]
    read = InputSchema.model_validate(content | {"schema_version": "1.0"})
    assert (read.cohort, read.contradictions, read.intervals) == (None, [], None)


def test_intervals_that_do_not_ascend_are_refused(schema: InputSchema) -> None:
    content = schema.model_dump(mode="json")
    good = {"level": 0.95, "risk": [0.1, 0.2], "low": [0.08, 0.15], "high": [0.12, 0.25], "coverage": []}
    assert InputSchema.model_validate(content | {"intervals": good}).intervals.high == [0.12, 0.25]
    for bad in ({"risk": [0.2, 0.1]}, {"low": [0.08]}, {"low": [0.13, 0.15]}):
        with pytest.raises(ValidationError):
            InputSchema.model_validate(content | {"intervals": good | bad})


def test_shares_that_do_not_add_up_are_refused(schema: InputSchema) -> None:
    content = schema.model_dump(mode="json")
    content["scores"]["distribution"]["shares"][0] += 0.1
    with pytest.raises(ValidationError, match="add up to 1"):
        InputSchema.model_validate(content)


@pytest.mark.parametrize(
    ("values", "edges", "shares"),
    [
        ([3] * 10, [], [1.0]),
        ([0] * 95 + [1, 2, 3, 4, 5], [1], [0.95, 0.05]),
        ([0] * 50 + [1] * 50, [1], [0.5, 0.5]),
        (list(range(100)), [10, 20, 30, 40, 50, 60, 70, 80, 90], [0.1] * 10),
    ],
)
def test_histograms(values: list[int], edges: list[int], shares: list[float]) -> None:
    found = marginals.histogram(np.array(values))
    assert found.edges == edges
    assert found.shares == pytest.approx(shares)


def test_missing_values_are_spelled_as_in_the_csv() -> None:
    column = pd.Series(["A", None, float("nan"), "None"], dtype=object)
    assert marginals.text(column).tolist() == ["A", "?", "?", "None"]
    typed = pd.Series(["A", None], dtype="str")
    assert marginals.text(typed).tolist() == ["A", "?"]


def test_diagnoses_are_counted_by_group() -> None:
    codes = pd.Series(["428.0", "250", "V45", None], dtype=object)
    assert marginals.group_shares(codes, icd9.GROUP_OF_STEM).groups == {
        "circulatory": 0.25,
        "diabetes": 0.25,
        "other": 0.25,
        "?": 0.25,
    }


def test_a_field_that_no_encounter_has_is_as_good_as_missing() -> None:
    values = pd.Series([None, None, None], dtype=object)
    for name in ("payer_code", "diag_3"):
        described = input_schema.field(BY_NAME[name], values, icd9.GROUP_OF_STEM, used=False)
        assert described.reference == MISSING
