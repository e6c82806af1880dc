"""Drawn patients, compared with the distributions that they are drawn from."""

import math
import re
from collections import Counter

import pytest

from readmission_loadtest.patients import draw

PATTERN = r"^(?:\d{1,3}|V\d{2}|E\d{3})(?:\.\d{1,2})?$"
CODES = {str(number): "circulatory" for number in range(390, 460)} | {"250": "diabetes"}


def schema(**shares):
    field = {"name": "diag_1", "kind": "icd9", "pattern": PATTERN, "distribution": {"groups": shares}}
    return {"fields": [field], "icd9_groups": {"codes": CODES}}


@pytest.mark.parametrize("missing", [0.02, 0.3])
def test_diagnoses_have_the_shares_of_training(missing):
    shares = {"circulatory": 0.9 - missing - 0.2, "other": 0.2, "diabetes": 0.1, "?": missing}
    drawn = [patient["diag_1"] for patient in draw(schema(**shares), 5_000, seed=1)]
    assert all(code == "?" or re.fullmatch(PATTERN, code) for code in drawn)
    counts = Counter(code if code == "?" else CODES.get(code.partition(".")[0], "other") for code in drawn)
    # The population stability index as the API measures it: rarer groups count as 0.0001.
    pairs = [(max(counts[group] / 5_000, 1e-4), max(shares.get(group, 0), 1e-4)) for group in counts | shares]
    assert sum((now - then) * math.log(now / then) for now, then in pairs) < 0.01


def test_without_listed_groups_all_diagnoses_are_other_ones():
    drawn = {
        patient["diag_1"] for patient in draw(schema(other=1.0) | {"icd9_groups": {"codes": {}}}, 500, seed=1)
    }
    assert "?" not in drawn
    assert len(drawn) > 100
