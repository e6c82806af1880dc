"""Every field and every level has a text in both languages."""

import re

import pytest

from readmission_data.encounters import labels
from readmission_data.encounters.columns import PREDICTORS, Column, Kind

BY_NAME = {column.name: column for column in PREDICTORS}
CATEGORIES = [column for column in PREDICTORS if column.kind is Kind.CATEGORY]


def name(column: Column) -> str:
    return column.name


def assert_written(text: labels.Text) -> None:
    for words in text:
        assert words == words.strip()
        assert words
        # Quotes or commas that a CSV reader did not remove, or letters broken by a wrong encoding.
        assert not re.search(r'["\ufffd]|Ã|\?$', words)


@pytest.mark.parametrize("column", PREDICTORS, ids=name)
def test_field_has_label_help_and_group(column: Column) -> None:
    field = labels.field(column.name)
    assert_written(field.label)
    assert_written(field.help)
    assert field.group in labels.GROUPS
    assert (field.unit is not None) == (column.kind is Kind.INTEGER)
    if field.unit:
        assert_written(field.unit)


@pytest.mark.parametrize("column", CATEGORIES, ids=name)
def test_each_level_has_a_label_of_its_own(column: Column) -> None:
    levels = labels.levels(column.name)
    assert tuple(levels) == column.levels
    for text in levels.values():
        assert_written(text)
    # Two levels with the same label cannot be distinguished in a form; codes 5, 6 and 8 do differ.
    assert len({text.en for text in levels.values()}) == len(levels)
    assert len({text.es for text in levels.values()}) == len(levels)


def test_no_text_belongs_to_nothing() -> None:
    assert set(labels._fields()) == set(BY_NAME)
    shared = {"group", "missing", "icd9_group", "dose"}
    assert {table for table in labels._levels() if table not in shared} <= set(BY_NAME)
    for table, texts in labels._levels().items():
        if table in BY_NAME:
            assert set(texts) == set(BY_NAME[table].levels)


def test_groups_are_in_the_order_of_a_form() -> None:
    assert tuple(labels.groups()) == labels.GROUPS
    assert labels.groups()["drugs"] == ("Drugs", "Medicamentos")


def test_spanish_is_not_english() -> None:
    fields = [labels.field(column.name) for column in PREDICTORS]
    assert all(field.help.en != field.help.es for field in fields)
    same = [column.name for column in PREDICTORS if len(set(labels.field(column.name).label)) == 1]
    # Names that are the same in both languages.
    assert same == ["A1Cresult", "miglitol", "examide", "citoglipton"]


@pytest.mark.parametrize(
    ("column", "level", "en", "es"),
    [
        ("age", "[70-80)", "70 to 79 years", "70 a 79 años"),
        ("admission_source_id", "7", "Emergency department", "Servicio de urgencias"),
        (
            "discharge_disposition_id",
            "7",
            "Left against medical advice",
            "Alta voluntaria contra criterio médico",
        ),
        ("insulin", "Down", "Dose lowered", "Dosis reducida"),
        ("max_glu_serum", "None", "Not measured", "Sin medir"),
        ("medical_specialty", "Surgery-Neuro", "Neurosurgery", "Neurocirugía"),
    ],
)
def test_some_levels_by_hand(column: str, level: str, en: str, es: str) -> None:
    assert labels.levels(column)[level] == (en, es)


def test_an_unknown_field_is_an_error() -> None:
    with pytest.raises(KeyError):
        labels.field("weight")
