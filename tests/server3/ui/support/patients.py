"""Patients by the hundred, drawn from a schema's own distributions."""

import csv
import random
from collections.abc import Mapping
from io import StringIO
from typing import Any

SPOILED = {
    11: ("age", "old"),
    58: ("time_in_hospital", "44"),
    121: ("diag_1", "banana"),
    201: ("gender", ""),
    311: ("number_inpatient", "many"),
    401: ("A1Cresult", ">9"),
}
"""Row (from 1), the field that is spoiled there and how."""
SHORT_ROW = 451


def excluded_levels(schema: Mapping[str, Any]) -> dict[str, set[str]]:
    """Return the levels of each field that the cohort excludes."""
    exclusions = (schema.get("cohort") or {}).get("exclusions", [])
    levels: dict[str, set[str]] = {}
    for exclusion in exclusions:
        levels.setdefault(exclusion["field"], set()).update(exclusion["levels"])
    return levels


def draw(field: Mapping[str, Any], excluded: Mapping[str, set[str]], chance: random.Random) -> str:
    spread = field["distribution"]
    if "levels" in spread:
        shares = {
            level: share
            for level, share in spread["levels"].items()
            if level not in excluded.get(field["name"], ())
        }
        return chance.choices(list(shares), list(shares.values()))[0]
    if field["kind"] == "icd9":
        return chance.choice(["428", "250.83", "414", "V57", "?"])
    return str(chance.randint(field["minimum"], min(field["maximum"], field["minimum"] + 9)))


def rows(schema: Mapping[str, Any], count: int) -> list[dict[str, str]]:
    """Return patients with a number of their own that no model takes."""
    chance = random.Random(count)  # noqa: S311 - patients, not secrets
    excluded = excluded_levels(schema)
    return [
        {"bed": f"B{number}", **{field["name"]: draw(field, excluded, chance) for field in schema["fields"]}}
        for number in range(1, count + 1)
    ]


def to_csv(patients: list[dict[str, str]], *, delimiter: str = ",") -> str:
    text = StringIO(newline="")
    writer = csv.DictWriter(text, list(patients[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(patients)
    return text.getvalue()


def with_bad_rows(schema: Mapping[str, Any], count: int) -> bytes:
    """Return a CSV of which seven rows cannot be read: six with a bad value, one cut short."""
    patients = rows(schema, count)
    for row, (name, value) in SPOILED.items():
        patients[row - 1][name] = value
    lines = to_csv(patients).splitlines()
    lines[SHORT_ROW] = ",".join(lines[SHORT_ROW].split(",")[:20])
    return "\r\n".join(lines).encode()
