"""The groups of ICD-9 codes that a diagnosis is reduced to."""

from typing import Final

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

Source: Strack et al. 2014, table 2. `other` takes the rest, among it the V and E codes.
"""

OTHER: Final = "other"


def key(code: str) -> str:
    """Return what stands before the dot of a code ("250.83" -> "250"); "?" stays "?"."""
    return code.partition(".")[0]


def shortest(code_key: str) -> str:
    """Return a key without leading zeros ("008" -> "8"), as the data set spells it."""
    return str(int(code_key)) if code_key.isdecimal() else code_key


def spellings(code_key: str) -> tuple[str, ...]:
    """Return the keys that name the same three digits, with leading zeros and without ("8", "08", "008")."""
    if not code_key.isdecimal():
        return (code_key,)
    return tuple(sorted({str(int(code_key)).zfill(width) for width in (1, 2, 3)}, key=len))


def group(code_key: str) -> str:
    """Return the group of a code's key.

    Every key that a valid code can have belongs to one: the numbers that no range names, V and E codes go
    to `other`.
    """
    if code_key.isdecimal():
        return _GROUP_OF_NUMBER.get(int(code_key), OTHER)
    return OTHER


_GROUP_OF_NUMBER: Final = {
    number: name
    for name, ranges in GROUPS.items()
    for first, last in ranges
    for number in range(first, last + 1)
}

GROUP_OF_KEY: Final = {
    spelling: name for number, name in _GROUP_OF_NUMBER.items() for spelling in spellings(str(number))
}
"""Every key that belongs to a group other than `other`."""
