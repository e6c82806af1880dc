"""The texts of the same ICD-9-CM code, and the canonical one that the tables store.

The data set writes a code without leading zeros and without zeros at the end of its decimals: "8" is 008,
"250" is 250.00 and "250.6" is 250.60. No text is ambiguous: a code that has decimals is not valid without
them, so "428" can only be a short form of 428.0 (ADR 25).
"""

import re
from typing import Final

from readmission_data.encounters.columns import ICD9_PATTERN

CANONICAL: Final = (
    (r"^0{1,2}([0-9])", r"\1"),
    (r"^([0-9V].*|E[89].*)\.0{1,2}$", r"\1"),
    (r"(\.[0-9])0$", r"\1"),
)
"""Replacements, in this order, that turn each text of a code into the canonical one.

The codes of activities (E000 to E030) keep their decimal: the pattern accepts them only with it.
"""

_DIGITS: Final = 3
_CODE: Final = re.compile(ICD9_PATTERN)


def canonical(code: str) -> str:
    """Return a code as the tables store it ("008.40" -> "8.4"); other texts, such as "?", stay unchanged."""
    if not _CODE.fullmatch(code):
        return code
    for pattern, replacement in CANONICAL:
        code = re.sub(pattern, replacement, code)
    return code


def stems(stem: str) -> tuple[str, ...]:
    """Return all texts of the part before the dot, with up to three digits, the canonical one first.

    ("8", "08", "008")
    """
    if not stem.isdecimal():
        return (stem,)
    number = str(int(stem))
    return tuple(number.zfill(width) for width in range(len(number), _DIGITS + 1))


def spellings(code: str) -> tuple[str, ...]:
    """Return all texts of a code, the canonical one first.

    ("250.6", "250.60")
    """
    if not _CODE.fullmatch(code):
        return (code,)
    stem, _, decimals = canonical(code).partition(".")
    # External causes have one decimal, all other codes have two.
    longest = 1 if stem.startswith("E") else 2
    ends = [decimals.ljust(width, "0") for width in range(len(decimals), longest + 1)]
    return tuple(f"{start}.{end}" if end else start for end in ends for start in stems(stem))
