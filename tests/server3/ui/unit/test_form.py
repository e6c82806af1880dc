"""What an untouched field holds, and which widget keeps what was filled in."""

import pytest

from readmission_ui import form
from readmission_ui.schema import Field


@pytest.mark.parametrize(
    ("field", "held"),
    [
        (Field(name="drug", kind="category", required=False, absent="No"), "No"),
        (Field(name="race", kind="category", required=False, absent="?"), "?"),
        (Field(name="gender", kind="category", required=True), None),
        (Field(name="days", kind="integer", required=True), None),
        (Field(name="visits", kind="integer", required=False, absent=0), None),
        (Field(name="code", kind="icd9", required=False, absent="?"), None),
    ],
)
def test_an_untouched_field_holds_its_absent_level_or_nothing(field: Field, held: str | None):
    assert form.start(field) == held


def test_a_field_keeps_its_key_while_it_holds_the_same():
    days = Field(name="days", kind="integer", minimum=1, maximum=14)
    relabelled = days.model_copy(update={"label": {"en": "Days"}})
    longer = days.model_copy(update={"maximum": 30})
    assert form.key(days, "en 1") == form.key(relabelled, "en 1")
    assert form.key(days, "en 1") != form.key(longer, "en 1")
    assert form.key(days, "en 1") != form.key(days, "en 2")
