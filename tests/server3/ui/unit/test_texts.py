"""Both languages say everything, and the pages ask for nothing else."""

import re
from pathlib import Path
from string import Formatter

import pytest

import readmission_ui
from readmission_ui import charts
from readmission_ui.settings import Language
from readmission_ui.texts import Texts, words

SOURCE = Path(readmission_ui.__file__).parent
# Keys that are put together at run time.
COMPOSED = ("away.", "model.", "problem.")


def places(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name}


def test_both_languages_have_the_same_keys():
    assert set(words("en")) == set(words("es"))


@pytest.mark.parametrize("key", sorted(words("en")))
def test_a_text_has_the_same_places_in_both_languages(key: str):
    assert words("en")[key].strip()
    assert words("es")[key].strip()
    assert places(words("en")[key]) == places(words("es")[key])


def test_every_text_that_is_asked_for_is_there_and_none_is_left_over():
    code = "\n".join(path.read_text() for path in SOURCE.rglob("*.py"))
    sections = {key.partition(".")[0] for key in words("en")}
    quoted = re.findall(r"""["']([a-z]+)(\.[a-z0-9_]+)["']""", code)
    asked = {section + key for section, key in quoted if section in sections}
    assert asked - set(words("en")) == set()
    asked |= {one for key in asked if (one := f"{key}_one") in words("en")}
    left_over = set(words("en")) - asked
    assert {key for key in left_over if not key.startswith(COMPOSED)} == set()


def test_numbers_are_written_as_the_language_does():
    english, spanish = Texts("en"), Texts("es")
    assert english.number(1234.5, 1) == "1,234.5"
    assert spanish.number(1234.5, 1) == "1.234,5"
    assert english.percent(0.1425) == "14.2%"
    assert spanish.percent(0.1425) == "14,2\N{NO-BREAK SPACE}%"


@pytest.mark.parametrize(
    ("language", "one", "many"),
    [
        ("en", "1 row was refused", "1,200 rows were refused"),
        ("es", "1 fila rechazada", "1.200 filas rechazadas"),
    ],
)
def test_one_of_something_is_said_in_the_singular(language: Language, one: str, many: str):
    texts = Texts(language)
    assert texts.counted("batch.refused_title", 1) == one
    assert texts.counted("batch.refused_title", 1200) == many


@pytest.mark.parametrize(("language", "zero"), [("en", "0.0"), ("es", "0,0")])
@pytest.mark.parametrize("share", [-0.0001, 0.0001, -0.0])
def test_what_rounds_to_zero_has_no_sign(language: Language, zero: str, share: float):
    texts = Texts(language)
    assert texts.number(share, 1) == zero
    assert texts.percent(share).startswith(zero)
    assert charts.signed(share, texts) == zero


def test_a_missing_text_is_an_error_and_never_an_empty_page():
    with pytest.raises(KeyError):
        Texts("en")("page.nothing")
