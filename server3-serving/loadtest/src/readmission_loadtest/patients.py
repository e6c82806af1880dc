"""Patients drawn field by field from the distributions in a model's schema; none of them is real."""

import random
import re
from collections.abc import Mapping
from typing import Any, Final

_MISSING: Final = "?"
_OTHER: Final = "other"
_ICD9_KEYS: Final = (
    *(str(number) for number in range(1, 1000)),
    *(f"V{number:02}" for number in range(1, 90)),
)
"""The categories of diagnoses, before the dot: diseases and injuries, and other reasons for a stay."""


def draw(schema: Mapping[str, Any], count: int, seed: int) -> list[dict[str, Any]]:
    """Return `count` patients as `POST /predict` takes them; the same seed returns the same patients.

    `schema` is the response of `GET /model/schema`.
    """
    rng = random.Random(seed)  # noqa: S311 - the same patients each time
    codes: dict[str, list[str]] = {}
    for code, group in schema["icd9_groups"]["codes"].items():
        codes.setdefault(group, []).append(code)
    excluded: dict[str, set[str]] = {}
    for exclusion in (schema.get("cohort") or {}).get("exclusions", ()):
        excluded.setdefault(exclusion["field"], set()).update(exclusion["levels"])
    columns = {
        field["name"]: _column(field, codes, excluded.get(field["name"], set()), count, rng)
        for field in schema["fields"]
    }
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _column(
    field: Mapping[str, Any],
    codes: Mapping[str, list[str]],
    excluded: set[str],
    count: int,
    rng: random.Random,
) -> list[Any]:
    distribution = field["distribution"]
    if field["kind"] == "integer":
        edges = [field["minimum"], *distribution["edges"], field["maximum"]]
        bins = rng.choices(range(len(distribution["shares"])), distribution["shares"], k=count)
        return [
            min(max(int(rng.uniform(edges[place], edges[place + 1])), field["minimum"]), field["maximum"])
            for place in bins
        ]
    if field["kind"] == "category":
        # The API refuses patients whom the cohort excludes.
        shares = {level: share for level, share in distribution["levels"].items() if level not in excluded}
        return rng.choices(list(shares), list(shares.values()), k=count)
    groups = rng.choices(list(distribution["groups"]), list(distribution["groups"].values()), k=count)
    choices = {**codes, _OTHER: _unlisted(field["pattern"], codes), _MISSING: [_MISSING]}
    return [rng.choice(choices[group]) for group in groups]


def _unlisted(pattern: str, codes: Mapping[str, list[str]]) -> list[str]:
    """Return diagnoses that the field accepts but no group lists: the contract calls these `other`."""
    listed = {code for group in codes.values() for code in group}
    return [key for key in _ICD9_KEYS if key not in listed and re.fullmatch(pattern, key, re.ASCII)]
