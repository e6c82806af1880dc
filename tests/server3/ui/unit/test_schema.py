"""Reading a schema: what is drawn of it, and what is refused."""

import pytest
from pydantic import ValidationError

from readmission_ui.errors import SchemaTooNewError
from readmission_ui.schema import Field, Group, Schema, Scores


def document(**changed: object) -> dict:
    return {
        "schema_version": "1.3",
        "groups": [{"name": "patient", "label": {"en": "Patient", "es": "Paciente"}}],
        "fields": [
            {
                "name": "race",
                "kind": "category",
                "group": "patient",
                "required": False,
                "absent": "?",
                "label": {"en": "Race", "es": "Raza"},
                "levels": [{"value": "Asian", "label": {"en": "Asian", "es": "Asiática"}}],
            },
            {
                "name": "visits",
                "kind": "integer",
                "group": "elsewhere",
                "label": {"en": "Outpatient visits"},
                "unit": {"en": "visits", "es": "consultas"},
            },
            {"name": "days", "kind": "integer", "group": "patient", "unit": {"en": "days", "es": "días"}},
            {"name": "code", "kind": "icd9", "group": "patient", "required": False, "absent": "?"},
        ],
        "threshold": 0.2,
        "missing": {"value": "?", "label": {"en": "Not known", "es": "No consta"}},
        "icd9_groups": {"labels": {"heart": {"en": "Heart", "es": "Corazón"}}, "codes": {"428": "heart"}},
        "a_later_minor_version": {"adds": "this"},
        **changed,
    }


@pytest.fixture
def schema() -> Schema:
    return Schema.parse(document())


def field(schema: Schema, name: str) -> Field:
    found = schema.field(name)
    assert found is not None
    return found


@pytest.mark.parametrize("version", ["2.0", "", "0.9", None])
def test_another_major_version_is_refused(version: str | None):
    with pytest.raises(SchemaTooNewError):
        Schema.parse(document(schema_version=version))


def test_what_is_no_schema_is_refused():
    with pytest.raises(ValidationError):
        Schema.parse(document(fields="none"))


def test_a_field_of_a_group_that_is_not_named_is_drawn_last(schema: Schema):
    groups = schema.grouped()
    assert [group.name for group, _ in groups] == ["patient", "elsewhere"]
    assert groups[1] == (Group(name="elsewhere"), [field(schema, "visits")])


@pytest.mark.parametrize(
    ("name", "value", "language", "said"),
    [
        ("race", "Asian", "es", "Asiática"),
        ("race", "?", "en", "Not known"),
        ("race", None, "es", "No consta"),
        ("race", "Martian", "en", "Martian"),
        ("days", 3, "es", "3 días"),
        ("visits", 3, "en", "3"),
        ("code", "428.0", "en", "428.0 · Heart"),
        ("code", "V57", "en", "V57"),
    ],
)
def test_values_are_said_as_people_do(schema: Schema, name: str, value: object, language: str, said: str):
    assert schema.shown(field(schema, name), value, language) == said


def test_a_label_that_is_missing_in_a_language_falls_back(schema: Schema):
    assert field(schema, "visits").title("es") == "Outpatient visits"
    assert field(schema, "days").title("es") == "days"


def test_a_field_that_holds_other_things_has_another_shape(schema: Schema):
    race = field(schema, "race")
    other_words = race.model_copy(update={"label": {"en": "Origin"}})
    other_levels = race.model_copy(update={"levels": ()})
    assert race.shape == other_words.shape
    assert race.shape != other_levels.shape


def test_standing_is_the_share_of_lower_risks():
    scores = Scores(quantiles=tuple(index / 200 for index in range(101)))
    assert scores.standing(0.0) == 0.0
    assert scores.standing(0.125) == pytest.approx(0.25)
    assert scores.standing(0.9) == 1.0


def test_the_histogram_holds_everybody_below_its_end():
    scores = Scores(quantiles=tuple(index / 200 for index in range(101)))
    assert sum(scores.histogram(0.5, 10)) == pytest.approx(1.0)
    assert scores.histogram(1.0, 2) == pytest.approx([1.0, 0.0])
