"""One patient: the form on the left, the answer on the right."""

import streamlit as st

from readmission_ui import answer_panel, form, problems
from readmission_ui.answer_panel import Answered
from readmission_ui.errors import ApiAwayError, ModelAwayError, ReadmissionUIError, RefusedError
from readmission_ui.page import Page
from readmission_ui.schema import Example, Schema, say

ANSWER_KEY = "answered"


@st.fragment
def draw(page: Page) -> None:
    """Draw the tab. Only this part of the page runs again while the form is filled in."""
    _draw_examples(page)
    left, right = st.columns([13, 9], gap="large")
    with left:
        filled = form.draw(page.schema, page.texts)
        st.caption(page.texts("form.required"))
    with right, st.container(key="answer"):
        asked = st.button(
            page.texts("form.predict"),
            type="primary",
            icon=":material/monitor_heart:",
            key="predict",
            width="stretch",
        )
        if asked:
            _ask(page, filled)
        answered: Answered | None = st.session_state.get(ANSWER_KEY)
        if answered is None:
            answer_panel.draw_empty(page)
        else:
            answer_panel.draw(page, answered, stale=answered.patient != filled.patient)


def _draw_examples(page: Page) -> None:
    texts = page.texts
    with st.container(horizontal=True, vertical_alignment="center", key="examples"):
        if page.schema.examples:
            st.markdown(f"**{texts('form.examples')}**", width="content")
        for number, example in enumerate(page.schema.examples):
            name = say(example.name, texts.language, str(number + 1))
            st.button(
                name,
                key=f"example {number}",
                on_click=_start_from,
                args=(page.schema, example, texts.language),
            )
        st.button(
            texts("form.clear"),
            key="clear",
            type="tertiary",
            icon=":material/ink_eraser:",
            on_click=_start_from,
            args=(page.schema, None, texts.language),
        )


def _start_from(schema: Schema, example: Example | None, language: str) -> None:
    form.fill(schema, example, language)
    st.session_state.pop(ANSWER_KEY, None)


def _ask(page: Page, filled: form.Filled) -> None:
    """Ask the API; what it answers stays until the next question."""
    st.session_state.pop(ANSWER_KEY, None)
    texts = page.texts
    if filled.missing:
        names = ", ".join(field.title(texts.language) for field in filled.missing)
        st.warning(texts("form.missing", fields=names), icon=":material/edit_note:")
        return
    try:
        prediction = page.client.predict(filled.patient)
    except RefusedError as error:
        said = problems.refusal(error, page.schema, texts)
        st.error(f"**{texts('problem.title')}**\n\n{said}", icon=":material/block:")
        return
    except (ApiAwayError, ModelAwayError):
        # The whole page tells about an API or a model that is away.
        st.rerun(scope="app")
    except ReadmissionUIError as error:
        st.error(problems.sentence(error, texts), icon=":material/error:")
        return
    explanation = None
    unexplained = None
    try:
        explanation = page.client.explain(filled.patient)
    except ReadmissionUIError as error:
        unexplained = problems.sentence(error, texts)
    st.session_state[ANSWER_KEY] = Answered(
        patient=filled.patient,
        prediction=prediction,
        explanation=explanation,
        unexplained=unexplained,
    )
