"""Patients from JSON text to rows, fast: msgspec checks types, levels and ranges while it parses.

If msgspec refuses a patient, `patient_check` checks it again, and either accepts it after all (4.0 for 4) or
reports everything that is wrong.
"""

from collections.abc import Iterable, Sequence
from types import GenericAlias
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType
from msgspec.structs import astuple

from readmission_api.errors import PatientRefusedError, Problem
from readmission_api.predictor import json_text
from readmission_api.predictor.patient_check import PatientCheck
from readmission_api.predictor.schema import MISSING, Field, InputSchema

Row = tuple[Any, ...]
"""A patient's values: integers, then strings as in the CSV, in the order of `Patients.names`."""


class Patients:
    """Reads patients of one schema.

    A row's first `numeric_count` values are the graph's numbers, the next `categorical_count` its
    categories; the rest is not used by the graph.
    """

    def __init__(self, schema: InputSchema) -> None:
        by_name = {field.name: field for field in schema.fields}
        used = (*schema.graph.numeric, *schema.graph.categorical)
        # Unused ones: integers last, so that everything between them and the graph's numbers is text.
        unused = sorted(
            (name for name in by_name if name not in used), key=lambda name: by_name[name].kind == "integer"
        )
        self.names: tuple[str, ...] = (*used, *unused)
        self.fields = tuple(by_name[name] for name in self.names)
        self.columns = tuple((field.name, field.kind) for field in self.fields)
        self.numeric_count = len(schema.graph.numeric)
        self.categorical_count = len(schema.graph.categorical)
        self.check = PatientCheck(schema, self.names)
        self._exclusions = [
            (
                self.names.index(exclusion.field),
                frozenset(exclusion.levels),
                Problem(
                    code="outside_cohort",
                    field=exclusion.field,
                    message=exclusion.reason.get("en", "The model must not score this patient").rstrip("."),
                ),
            )
            for exclusion in (schema.cohort.exclusions if schema.cohort else ())
        ]
        self.reference: Row = tuple(field.reference for field in self.fields)
        self._absent = tuple(field.absent for field in self.fields)
        self._count = len(self.fields)
        self._texts_end = self._count - sum(by_name[name].kind == "integer" for name in unused)
        # JSON has more than one form for some values: null for "?", 1 for "1".
        self._spelling: dict[Any, Any] = {None: MISSING}
        for field in self.fields:
            if field.kind == "category":
                self._spelling.update({int(value): value for value in field.whole_numbers})
        # With equal keys, msgspec keeps the last one. No name or allowed value contains a colon, so that in
        # a body that passed the check their number is the number of keys.
        self._colons_count_keys = not any(
            ":" in text
            for field in self.fields
            for text in (field.name, *(level.value for level in field.levels))
        )
        self._decode = msgspec.json.Decoder(_struct(self.fields)).decode
        self._decode_together = msgspec.json.Decoder(
            GenericAlias(list, (_struct_spelled_as_csv(self.fields),))
        ).decode
        self._get = self._spelling.get
        self._spelled_as_here = frozenset(self._spelling).isdisjoint

    def read(self, body: bytes | msgspec.Raw) -> Row:
        """Return the row of one patient.

        Raise `PatientRefusedError`, `BadJsonError` or `BadEncodingError`.
        """
        return self._require_cohort(self._read(body))

    def in_cohort(self, rows: Iterable[Row]) -> bool:
        """Return whether the model may score all of these patients."""
        return not any(row[place] in levels for place, levels, _ in self._exclusions for row in rows)

    def _require_cohort(self, row: Row) -> Row:
        found = tuple(problem for place, levels, problem in self._exclusions if row[place] in levels)
        if found:
            raise PatientRefusedError(found)
        return row

    def _read(self, body: bytes | msgspec.Raw) -> Row:
        try:
            row = astuple(self._decode(body))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self.check.row(json_text.parse(bytes(body)))
        keys = self._count - row.count(UNSET)
        if not self._colons_count_keys or bytes(body).count(b":") != keys:
            return self.check.row(json_text.parse(bytes(body)))
        if keys != self._count:
            row = tuple(
                [absent if value is UNSET else value for value, absent in zip(row, self._absent, strict=True)]
            )
        texts = row[self.numeric_count : self._texts_end]
        if self._spelled_as_here(texts):
            return row
        return (*row[: self.numeric_count], *map(self._get, texts, texts), *row[self._texts_end :])

    def read_together(self, bodies: Sequence[msgspec.Raw]) -> list[Row] | None:
        """Return patients that have every field as in the CSV, or None if one does not or is wrong.

        This takes half the time of reading them one by one, which the caller does for the others.
        """
        text = b"[%b]" % b",".join(bodies)
        if not self._colons_count_keys or text.count(b":") != len(bodies) * self._count:
            return None
        try:
            rows = list(map(astuple, self._decode_together(text)))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        return rows if self.in_cohort(rows) else None

    def read_value(self, value: object) -> Row:
        """Return the row of a patient that is already parsed (`json_text.parse`)."""
        return self._require_cohort(self.check.row(value))


def _struct(fields: Sequence[Field]) -> type[msgspec.Struct]:
    definitions: list[tuple[str, Any] | tuple[str, Any, Any]] = []
    for field in fields:
        kind = _as_json_may(field)
        definitions.append((field.name, kind) if field.required else (field.name, kind | UnsetType, UNSET))
    return _patient(definitions)


def _struct_spelled_as_csv(fields: Sequence[Field]) -> type[msgspec.Struct]:
    return _patient([(field.name, _as_csv(field)) for field in fields])


def _patient(definitions: list[tuple[str, Any] | tuple[str, Any, Any]]) -> type[msgspec.Struct]:
    return msgspec.defstruct(
        "Patient", definitions, kw_only=True, forbid_unknown_fields=True, frozen=True, gc=False
    )


def _as_csv(field: Field) -> Any:  # noqa: ANN401 - a type made at run time
    if field.kind == "integer":
        return Annotated[int, Meta(ge=field.minimum, le=field.maximum)]
    if field.kind == "icd9":
        missing = r"\?|" if field.takes_missing else ""
        return Annotated[str, Meta(pattern=rf"\A(?a:{missing}(?:{field.pattern}))\Z")]
    missing_level = [MISSING] if field.takes_missing else []
    return Literal[tuple(dict.fromkeys([*(level.value for level in field.levels), *missing_level]))]


def _as_json_may(field: Field) -> Any:  # noqa: ANN401 - a type made at run time
    kind = _as_csv(field)
    if field.kind == "category" and field.whole_numbers:
        kind = kind | Literal[tuple(int(value) for value in field.whole_numbers)]
    return kind | None if field.takes_missing else kind
