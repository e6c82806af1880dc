"""The patient form: every widget is drawn from a field of the schema."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import streamlit as st

from readmission_ui.schema import Example, Field, Patient, Schema, Value, say
from readmission_ui.texts import Texts

COLUMNS: Final = 3
FOLDED_FROM: Final = 9
"""A group's optional fields are folded away when there are this many: nearly all of them stay as they are."""


LANGUAGE_KEY: Final = "form language"
FILLING_KEY: Final = "form filling"


@dataclass(frozen=True)
class Filled:
    """What the form holds now: the request's body, and the required fields that are still empty."""

    patient: Patient
    missing: tuple[Field, ...]


def key(field: Field, place: str) -> str:
    """Return the widget's key: a field that can hold other things than before starts empty."""
    return f"field {field.name} {field.shape} {place}"


def place(language: str) -> str:
    """Return what the keys of all fields share: it is new for each language and each filling.

    A select box in the browser knows its values by their labels, so each language has boxes of its own. And a
    browser sends all that its widgets hold with every click, also what it held before an answer that is still
    on its way: with the keys of the patient before it would mix two patients into one.
    """
    return f"{language} {st.session_state.get(FILLING_KEY, 0)}"


def start(field: Field) -> Value:
    """Return what an untouched widget of the field holds."""
    if field.kind == "category" and not field.required and field.absent is not None:
        return str(field.absent)
    return None


def fill(schema: Schema, example: Example | None, language: str) -> None:
    """Put an example patient into the form, or empty it."""
    for field in schema.fields:
        st.session_state.pop(key(field, place(language)), None)
    st.session_state[FILLING_KEY] = st.session_state.get(FILLING_KEY, 0) + 1
    values = {} if example is None else example.patient
    for field in schema.fields:
        given: Value = values.get(field.name)
        if given is None or (field.kind != "category" and given == field.absent):
            given = start(field)
        elif not field.numeric:
            given = str(given)
        st.session_state[key(field, place(language))] = given


def draw(schema: Schema, texts: Texts) -> Filled:
    """Draw the whole form and return what is in it."""
    _carry_over(schema, texts.language)
    patient: Patient = {}
    missing: list[Field] = []
    for group, fields in schema.grouped():
        with st.container(border=True):
            st.markdown(f"##### {say(group.label, texts.language, group.name)}")
            folded = [field for field in fields if start(field) is not None]
            if len(folded) < FOLDED_FROM:
                folded = []
            plain = [field for field in fields if field not in folded]
            values = _draw_grid(plain, schema, texts)
            if folded:
                values |= _draw_folded(folded, schema, texts)
        for field in fields:
            value = values[field.name]
            if value is not None and value != "":
                patient[field.name] = value
            elif field.required:
                missing.append(field)
    return Filled(patient, tuple(missing))


def _carry_over(schema: Schema, language: str) -> None:
    """Take what was filled in along when the language changes."""
    before = st.session_state.get(LANGUAGE_KEY, language)
    st.session_state[LANGUAGE_KEY] = language
    if before == language:
        return
    for field in schema.fields:
        if key(field, place(before)) in st.session_state:
            st.session_state[key(field, place(language))] = st.session_state[key(field, place(before))]


def _draw_folded(fields: Sequence[Field], schema: Schema, texts: Texts) -> dict[str, Value]:
    """Draw the fields in a drawer that tells how many of them are set."""
    set_now = sum(
        st.session_state.get(key(field, place(texts.language)), start(field)) != start(field)
        for field in fields
    )
    label = texts.counted("form.folded", set_now, fields=len(fields))
    with st.expander(label, key=f"drawer {fields[0].group}"):
        return _draw_grid(fields, schema, texts)


def _draw_grid(fields: Sequence[Field], schema: Schema, texts: Texts) -> dict[str, Value]:
    values: dict[str, Value] = {}
    for first in range(0, len(fields), COLUMNS):
        for column, field in zip(st.columns(COLUMNS), fields[first : first + COLUMNS], strict=False):
            with column:
                values[field.name] = _draw_field(field, schema, texts)
    return values


def _draw_field(field: Field, schema: Schema, texts: Texts) -> Value:
    language = texts.language
    unit = field.measure(language)
    label = field.title(language) + (f" ({unit})" if unit else "") + (" *" if field.required else "")
    explained = say(field.help, language, "")
    if not field.used:
        explained = f"{explained} {texts('form.unused')}".strip()
    if field.kind == "category":
        return _draw_category(field, schema, label, explained, texts)
    if field.numeric:
        whole = field.kind == "integer"
        return st.number_input(
            label,
            min_value=_bound(field.minimum, whole=whole),
            max_value=_bound(field.maximum, whole=whole),
            value=None,
            step=1 if whole else None,
            placeholder=_range(field, texts),
            help=explained or None,
            key=key(field, place(language)),
            persist_state="session",
        )
    placeholder = "" if field.reference is None else texts("form.such_as", value=field.reference)
    text = st.text_input(
        label,
        help=explained or None,
        placeholder=placeholder,
        key=key(field, place(language)),
        persist_state="session",
    )
    return text.strip() if text else None


def _draw_category(field: Field, schema: Schema, label: str, explained: str, texts: Texts) -> Value:
    language = texts.language
    options = field.options()
    first = start(field)
    return st.selectbox(
        label,
        options,
        index=options.index(str(first)) if first is not None else None,
        format_func=lambda value: schema.shown(field, value, language),
        placeholder=texts("form.choose"),
        help=explained or None,
        key=key(field, place(language)),
        persist_state="session",
    )


def _bound(bound: float | None, *, whole: bool) -> float | int | None:
    if bound is None:
        return None
    return int(bound) if whole else float(bound)


def _range(field: Field, texts: Texts) -> str | None:
    if field.minimum is None or field.maximum is None:
        return None
    return texts("form.range", minimum=f"{field.minimum:g}", maximum=f"{field.maximum:g}")
