"""The slow and complete check of one patient, which reports every problem but never the values."""

import re
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, Final

from readmission_api.errors import PatientRefusedError, Problem
from readmission_api.predictor.json_text import JsonObject, kind
from readmission_api.predictor.schema import MISSING, Field, InputSchema

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_WHOLE_CODE: Final = re.compile(r"[0-9]{1,9}\.0{1,9}")
_SHOWN_LEVELS: Final = 6
MAX_PROBLEMS: Final = 100
"""Maximum number of repeated or unknown names in a message."""


class PatientCheck:
    """Turns a parsed JSON value into the row of values for the graph and the log.

    `names` gives the order of a row: the graph's numeric fields, its categorical ones, then fields that
    the graph does not use.
    """

    def __init__(self, schema: InputSchema, names: Sequence[str]) -> None:
        by_name = {field.name: field for field in schema.fields}
        self._fields = [by_name[name] for name in names]
        self._known = by_name.keys()
        self._patterns = {
            field.name: re.compile(field.pattern, re.ASCII)
            for field in self._fields
            if field.pattern is not None
        }
        self._levels = {
            field.name: frozenset(level.value for level in field.levels) for field in self._fields
        }

    def row(self, patient: object) -> tuple[Any, ...]:
        """Return the patient's values in order. Raise `PatientRefusedError` with every problem found."""
        if not isinstance(patient, Mapping):
            raise PatientRefusedError(
                (
                    Problem(
                        code="wrong_type",
                        message="a patient is a JSON object of fields",
                        given=kind(patient),
                        allowed="object",
                    ),
                )
            )
        problems = self._names(patient)
        values = []
        for field in self._fields:
            try:
                values.append(self._value(field, patient))
            except PatientRefusedError as error:
                problems.extend(error.problems)
        if problems:
            raise PatientRefusedError(tuple(problems))
        return tuple(values)

    def _names(self, patient: Mapping[str, Any]) -> list[Problem]:
        problems = [
            Problem(
                code="duplicate_field",
                field=shown(name),
                message=f"{shown(name) or 'a field'} is given more than once; give it once",
            )
            for name in (patient.repeated if isinstance(patient, JsonObject) else ())[:MAX_PROBLEMS]
        ]
        problems.extend(
            Problem(
                code="unknown_field",
                field=shown(name),
                message=f"unknown field{f' {text}' if (text := shown(name)) else ''}; "
                "leave it out (GET /model/schema lists the fields)",
            )
            for name in islice((name for name in patient if name not in self._known), MAX_PROBLEMS)
        )
        return problems

    def _value(self, field: Field, patient: Mapping[str, Any]) -> Any:  # noqa: ANN401 - str or int
        if field.name not in patient:
            return _absent(field)
        value = patient[field.name]
        if value is None and field.takes_missing:
            return MISSING
        if field.kind == "integer":
            return self._integer(field, value)
        if field.kind == "category" and (code := _code(value)) in self._levels[field.name]:
            return code
        if type(value) is not str:
            raise _refuse(field, value, "wrong_type")
        if value == MISSING and field.takes_missing:
            return value
        if field.kind == "icd9":
            if not self._patterns[field.name].fullmatch(value):
                raise _refuse(field, value, "bad_code")
        elif value not in self._levels[field.name]:
            raise _refuse(field, value, "unknown_level")
        return value

    @staticmethod
    def _integer(field: Field, value: object) -> int:
        # JSON has one kind of number: 4.0 is the integer 4.
        if type(value) is float and value.is_integer():
            value = int(value)
        if type(value) is not int:
            raise _refuse(field, value, "wrong_type")
        assert field.minimum is not None  # noqa: S101 - the schema was checked when it was loaded
        assert field.maximum is not None  # noqa: S101
        if not field.minimum <= value <= field.maximum:
            raise _refuse(field, value, "out_of_range")
        return value


def _code(value: object) -> str | None:
    """Return a category's code that was written as a number, or as 1.0, as pandas does next to gaps."""
    if type(value) is float and value.is_integer():
        return str(int(value))
    if type(value) is int:
        return str(value)
    if type(value) is str and _WHOLE_CODE.fullmatch(value):
        return value.partition(".")[0]
    return None


def _absent(field: Field) -> str | int | None:
    if not field.required:
        return field.absent
    message = f"{field.name} is missing; give {_wanted(field)}"
    raise PatientRefusedError(
        (Problem(code="missing_field", field=field.name, message=message, allowed=field.allowed),)
    )


def shown(name: str) -> str | None:
    """Return a field's name if an error may repeat it, or None if it could be a value."""
    return name if _NAME.fullmatch(name) else None


def _wanted(field: Field) -> str:
    if field.kind == "integer":
        return f"a whole number from {field.minimum} to {field.maximum}"
    if field.kind == "icd9":
        return "an ICD-9 code such as 428 or 250.83, not ICD-10"
    levels = [level.value for level in field.levels]
    if len(levels) <= _SHOWN_LEVELS:
        return "one of " + ", ".join(levels)
    return f"one of the {len(levels)} levels, such as {', '.join(levels[:3])}"


def _refuse(field: Field, value: object, code: str) -> PatientRefusedError:
    also = ', or "?" where it is not known' if field.takes_missing else ""
    return PatientRefusedError(
        (
            Problem(
                code=code,
                field=field.name,
                message=f"{field.name} must be {_wanted(field)}{also}",
                given=kind(value),
                allowed=field.allowed,
            ),
        )
    )
