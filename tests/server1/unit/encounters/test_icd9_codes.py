import re

import hypothesis
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import strategies

from readmission_data.encounters import icd9_codes
from readmission_data.encounters.columns import ICD9_PATTERN

CODES = strategies.from_regex(ICD9_PATTERN, fullmatch=True)


@pytest.mark.parametrize(
    ("code", "texts"),
    [
        ("8.45", ("8.45", "08.45", "008.45")),
        ("250.6", ("250.6", "250.60")),
        ("428", ("428", "428.0", "428.00")),
        ("V58", ("V58", "V58.0", "V58.00")),
        ("E885", ("E885", "E885.0")),
        ("38", ("38", "038", "38.0", "038.0", "38.00", "038.00")),
        ("?", ("?",)),
        ("E003.0", ("E003.0",)),
        ("E119", ("E119",)),
    ],
)
def test_the_texts_of_a_code(code, texts):
    assert icd9_codes.spellings(code) == texts
    assert {icd9_codes.canonical(text) for text in texts} == {code}


@hypothesis.settings(deadline=None)
@hypothesis.given(CODES)
def test_every_text_of_a_code_has_one_canonical_form(code):
    texts = icd9_codes.spellings(code)

    assert code in texts
    assert texts[0] == icd9_codes.canonical(code)
    assert all(re.fullmatch(ICD9_PATTERN, text) for text in texts)
    assert {icd9_codes.spellings(text) for text in texts} == {texts}


@hypothesis.settings(deadline=None)
@hypothesis.given(strategies.lists(CODES, min_size=1))
def test_the_rules_mean_the_same_to_arrow(codes):
    texts = pa.array(codes)
    for pattern, replacement in icd9_codes.CANONICAL:
        texts = pc.replace_substring_regex(texts, pattern, replacement)

    assert texts.to_pylist() == [icd9_codes.canonical(code) for code in codes]
