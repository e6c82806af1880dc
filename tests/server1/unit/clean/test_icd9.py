import re

import pytest

from readmission_data.clean import icd9
from readmission_data.encounters.columns import ICD9_PATTERN


# Strack et al. 2014, table 2: both ends of every range, and its neighbours.
@pytest.mark.parametrize(
    ("group", "inside", "outside"),
    [
        ("circulatory", ("390", "428", "459", "785"), ("389", "460", "784")),
        ("respiratory", ("460", "486", "519", "786"), ("459", "520")),
        ("digestive", ("520", "578", "579", "787"), ("519", "580")),
        ("diabetes", ("250",), ("249", "251")),
        ("injury", ("800", "996", "999"), ("799", "E800")),
        ("musculoskeletal", ("710", "715", "739"), ("709", "740")),
        ("genitourinary", ("580", "599", "629", "788"), ("630", "789")),
        ("neoplasms", ("140", "199", "239"), ("139", "240")),
        ("other", ("1", "139", "240", "251", "276", "780", "789", "799", "V57", "E885", "0"), ("250", "800")),
    ],
)
def test_groups_of_strack_2014(group, inside, outside):
    assert {icd9.group(stem) for stem in inside} == {group}
    assert group not in {icd9.group(stem) for stem in outside}


def test_every_valid_stem_has_one_of_the_nine_groups():
    stems = [*(str(number) for number in range(1000)), *(f"V{number:02}" for number in range(100))]
    stems += [f"E{number:03}" for number in range(800, 1000)]
    assert all(re.fullmatch(ICD9_PATTERN, stem) for stem in stems)
    assert {icd9.group(stem) for stem in stems} == set(icd9.GROUPS)


def test_stem_is_what_stands_before_the_dot():
    assert [icd9.stem(code) for code in ("250.83", "8", "V57.1", "E885", "?")] == [
        "250",
        "8",
        "V57",
        "E885",
        "?",
    ]
