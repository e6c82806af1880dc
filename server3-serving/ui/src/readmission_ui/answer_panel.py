"""The answer for one patient: the risk, the class, the standing among past patients, what moved it."""

from dataclasses import dataclass
from typing import Final

import streamlit as st

from readmission_ui import charts
from readmission_ui.api_answers import Explanation, Prediction
from readmission_ui.page import Page
from readmission_ui.schema import Patient

SHOWN_FIELDS: Final = 10


@dataclass(frozen=True)
class Answered:
    """A question and what the API answered to it."""

    patient: Patient
    prediction: Prediction
    explanation: Explanation | None
    unexplained: str | None


def draw_empty(page: Page) -> None:
    """Draw the place of the answer before there is one."""
    with st.container(border=True, key="no answer"):
        st.markdown(f"##### :material/monitor_heart: {page.texts('answer.empty_title')}")
        st.caption(page.texts("answer.empty_what"))


def draw(page: Page, answered: Answered, *, stale: bool) -> None:
    """Draw an answer; `stale` where the form holds another patient by now."""
    if stale:
        st.info(page.texts("answer.stale"), icon=":material/history:")
    if page.model.synthetic:
        st.error(f"**{page.texts('synthetic.short')}**", icon=":material/warning:")
    with st.container(border=True, key="risk"):
        _draw_risk(page, answered.prediction)
        _draw_standing(page, answered.prediction)
    with st.container(border=True, key="moved"):
        _draw_moved(page, answered)
    _draw_origin(page, answered.prediction)


def _draw_risk(page: Page, prediction: Prediction) -> None:
    texts = page.texts
    risk = texts.percent(prediction.probability)
    threshold = texts.percent(prediction.threshold)
    end = charts.scale_end(prediction.probability, prediction.threshold, page.schema.scores)
    st.markdown(f"**{texts('answer.risk')}**")
    st.echarts_chart(
        charts.gauge(prediction.probability, prediction.threshold, end, texts),
        height=200,
        alt=texts("answer.gauge_alt", risk=risk, threshold=threshold),
    )
    with st.container(key="risk number", horizontal_alignment="center"):
        st.markdown(f"# {risk}", width="content")
        if prediction.flagged:
            st.badge(texts("answer.flagged", threshold=threshold), icon=":material/flag:", color="orange")
        else:
            st.badge(texts("answer.not_flagged", threshold=threshold), icon=":material/check:", color="green")


def _draw_standing(page: Page, prediction: Prediction) -> None:
    scores = page.schema.scores
    if scores is None:
        return
    texts = page.texts
    share = texts.percent(scores.standing(prediction.probability), 0)
    end = charts.scale_end(prediction.probability, prediction.threshold, scores)
    st.markdown(f"**{texts('answer.standing_title')}** · {texts('answer.standing', share=share)}")
    st.echarts_chart(
        charts.standing(prediction.probability, prediction.threshold, end, scores, texts),
        height=130,
        alt=texts("answer.standing_alt", risk=texts.percent(prediction.probability)),
    )


def _draw_moved(page: Page, answered: Answered) -> None:
    texts = page.texts
    st.markdown(f"**{texts('answer.moved_title')}**")
    explanation = answered.explanation
    if explanation is None:
        st.caption(texts("answer.moved_away", message=answered.unexplained))
        return
    if explanation.version != answered.prediction.version:
        st.caption(texts("answer.other_version", version=explanation.version))
    st.caption(texts("answer.moved_what", reference=texts.percent(explanation.reference_probability)))
    moved = [part for part in explanation.contributions if part.contribution != 0.0]
    if not moved:
        st.caption(texts("answer.moved_none"))
        return
    strongest = sorted(moved, key=lambda part: -abs(part.contribution))[:SHOWN_FIELDS]
    bars = [charts.Bar(_label(page, part.field, answered.patient), part.contribution) for part in strongest]
    st.echarts_chart(
        charts.contributions(bars, texts), height=24 + 36 * len(bars), alt=texts("answer.moved_alt")
    )
    rest = sum(part.contribution for part in moved) - sum(part.contribution for part in strongest)
    if len(moved) > len(strongest):
        st.caption(texts("answer.rest", points=charts.signed(rest, texts)))


def _label(page: Page, name: str, patient: Patient) -> str:
    field = page.schema.field(name)
    if field is None:
        return name
    value = page.schema.shown(field, patient.get(name), page.texts.language)
    return f"{field.title(page.texts.language)}: {value}"


def _draw_origin(page: Page, prediction: Prediction) -> None:
    texts = page.texts
    model = texts("answer.model", model=prediction.model, version=prediction.version)
    st.caption(
        f":material/deployed_code: {model}  \n{texts('answer.request', request=prediction.request_id)}"
    )
    st.caption(texts("page.foot"))
