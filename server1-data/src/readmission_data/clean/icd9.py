"""The groups of ICD-9 codes that a diagnosis is reduced to."""

from typing import Final

from readmission_data.encounters.icd9_codes import stems

GROUPS: Final[dict[str, tuple[tuple[int, int], ...]]] = {
    "circulatory": ((390, 459), (785, 785)),
    "respiratory": ((460, 519), (786, 786)),
    "digestive": ((520, 579), (787, 787)),
    "diabetes": ((250, 250),),
    "injury": ((800, 999),),
    "musculoskeletal": ((710, 739),),
    "genitourinary": ((580, 629), (788, 788)),
    "neoplasms": ((140, 239),),
    "other": (),
}
"""Three-digit codes of each group, both ends included.

Source: Strack et al. 2014, table 2. `other` is the rest, including the V and E codes.
"""

OTHER: Final = "other"


def stem(code: str) -> str:
    """Return the part of a code before the dot ("250.83" -> "250"); "?" stays "?"."""
    return code.partition(".")[0]


def group(stem: str) -> str:
    """Return the group of a code's stem.

    Every stem of a valid code has a group: numbers outside all ranges, V and E codes are in `other`.
    """
    return GROUP_OF_STEM.get(stem, OTHER)


GROUP_OF_STEM: Final = {
    stem: name
    for name, ranges in GROUPS.items()
    for first, last in ranges
    for number in range(first, last + 1)
    for stem in stems(str(number))
}
"""Every stem that belongs to a group other than `other`."""
