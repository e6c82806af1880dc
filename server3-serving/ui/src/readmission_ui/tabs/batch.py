"""Many patients: a CSV in, a table and a CSV out."""

import pandas as pd
import streamlit as st

from readmission_ui import charts, patients_csv, problems, scoring
from readmission_ui.errors import (
    ApiAwayError,
    FileRefusedError,
    ModelAwayError,
    ReadmissionUIError,
    RefusedError,
)
from readmission_ui.page import Page
from readmission_ui.patients_csv import PatientsFile
from readmission_ui.schema import Schema
from readmission_ui.scoring import Result
from readmission_ui.texts import Texts

RESULT_KEY = "scored"
SHOWN_NAMES = 8


@st.fragment
def draw(page: Page) -> None:
    """Draw the tab. Only this part of the page runs again while a file is chosen and scored."""
    texts = page.texts
    with st.container(border=True, key="batch in"):
        words, template = st.columns([3, 1], vertical_alignment="center")
        words.markdown(texts("batch.what"))
        template.download_button(
            texts("batch.template"),
            patients_csv.template(page.schema),
            file_name=texts("batch.template_name"),
            mime="text/csv",
            icon=":material/download:",
            on_click="ignore",
            key="template",
            width="stretch",
        )
        upload = st.file_uploader(
            texts("batch.choose"), type="csv", max_upload_size=page.settings.max_upload_mb, key="upload"
        )
        if upload is not None:
            _offer(page, upload.name, upload.getvalue())
    result: Result | None = st.session_state.get(RESULT_KEY)
    if result is not None:
        _draw_result(page, result)


def _offer(page: Page, name: str, content: bytes) -> None:
    """Tell what is in the file and score it when asked."""
    texts = page.texts
    try:
        file = patients_csv.read(content)
    except FileRefusedError as error:
        st.error(texts(error.key), icon=":material/block:")
        return
    unknown = file.unknown_columns(page.schema)
    names = ", ".join(f"`{name}`" for name in unknown)
    if not file.known_columns(page.schema):
        expected = ", ".join(f"`{field.name}`" for field in page.schema.fields[:SHOWN_NAMES])
        said = texts("batch.no_known_column", columns=names, expected=expected)
        st.error(said, icon=":material/view_column:")
        return
    if unknown:
        st.info(texts("batch.not_sent", columns=names), icon=":material/visibility_off:")
    label = texts.counted("batch.score", len(file.rows))
    if st.button(label, type="primary", icon=":material/play_arrow:", key="score", width="stretch"):
        st.session_state.pop(RESULT_KEY, None)
        _score(page, name, file)


def _score(page: Page, name: str, file: PatientsFile) -> None:
    texts = page.texts
    count = len(file.rows)
    bar = st.progress(0.0, texts.counted("batch.progress", count, done=0))

    def show(done: int) -> None:
        bar.progress(done / count, texts.counted("batch.progress", count, done=texts.number(done)))

    try:
        rows = scoring.score(page.client, file, page.schema, progress=show)
    except (ApiAwayError, ModelAwayError):
        st.rerun(scope="app")
    except RefusedError as error:
        said = problems.refusal(error, page.schema, texts)
        st.error(f"**{texts('batch.file_refused')}**\n\n{said}", icon=":material/block:")
    except ReadmissionUIError as error:
        st.error(f"{texts('batch.broke_off')} {problems.sentence(error, texts)}", icon=":material/error:")
    else:
        st.session_state[RESULT_KEY] = Result(name, file.header, rows, synthetic=page.model.synthetic)
    bar.empty()


def _draw_result(page: Page, result: Result) -> None:
    texts = page.texts
    if result.synthetic:
        st.error(f"**{texts('synthetic.short')}**", icon=":material/warning:")
    accepted, refused = result.accepted, result.refused
    flagged = sum(bool(row.answer.flagged) for row in accepted)
    with st.container(horizontal=True, key="batch sums"):
        st.metric(texts("batch.rows"), texts.number(len(result.rows)), border=True, height="stretch")
        st.metric(
            texts("batch.flagged"),
            texts.number(flagged),
            delta=texts.percent(flagged / len(accepted)) if accepted else None,
            delta_color="off",
            delta_arrow="off",
            border=True,
            height="stretch",
        )
        st.metric(texts("batch.refused"), texts.number(len(refused)), border=True, height="stretch")
    if len(result.versions) > 1:
        st.info(texts("batch.two_versions", versions=", ".join(result.versions)), icon=":material/info:")
    if refused:
        _draw_refused(page, result)
    if accepted:
        _draw_accepted(page, result)


def _draw_refused(page: Page, result: Result) -> None:
    texts = page.texts
    with st.container(border=True, key="refused"):
        heading, button = st.columns([3, 1], vertical_alignment="center")
        heading.markdown(
            f"##### :material/block: {texts.counted('batch.refused_title', len(result.refused))}"
        )
        button.download_button(
            texts("batch.refused_file"),
            result.refused_to_csv(),
            file_name=f"refused-{result.name}",
            mime="text/csv",
            icon=":material/download:",
            on_click="ignore",
            key="refused file",
            width="stretch",
        )
        reasons = [
            problems.problem_sentence(row.answer.problem(), page.schema, texts) for row in result.refused
        ]
        numbers = [row.row for row in result.refused]
        st.dataframe(
            pd.DataFrame({texts("batch.row"): numbers, texts("batch.why"): reasons}),
            hide_index=True,
            column_config={
                texts("batch.row"): st.column_config.NumberColumn(width=80),
                texts("batch.why"): st.column_config.TextColumn(width=1000),
            },
            key="refused rows",
        )


def _draw_accepted(page: Page, result: Result) -> None:
    texts = page.texts
    risks = [row.answer.probability or 0.0 for row in result.accepted]
    threshold = result.accepted[0].threshold
    end = charts.scale_end(max(risks), threshold, page.schema.scores)
    with st.container(border=True, key="scored"):
        heading, button = st.columns([3, 1], vertical_alignment="center")
        heading.markdown(f"##### :material/groups: {texts('batch.scored_title', name=result.name)}")
        button.download_button(
            texts("batch.result_file"),
            result.to_csv(),
            file_name=("synthetic-" if result.synthetic else "") + f"risks-{result.name}",
            mime="text/csv",
            icon=":material/download:",
            on_click="ignore",
            key="result file",
            type="primary",
            width="stretch",
        )
        st.echarts_chart(
            charts.spread(risks, threshold, end),
            height=150,
            alt=texts("batch.spread_alt"),
            key="batch spread",
        )
        st.dataframe(
            _table(result, page.schema, texts),
            hide_index=True,
            height=420,
            column_config={
                texts("batch.risk"): st.column_config.ProgressColumn(
                    format="percent", min_value=0.0, max_value=end, pinned=True
                ),
            },
            key="scored rows",
        )


def _table(result: Result, schema: Schema, texts: Texts) -> pd.DataFrame:
    """Return the accepted rows with their risk first, the patients' fields under their labels."""
    labels = [_column_label(name, schema, texts) for name in result.header]
    rows = result.accepted
    answers = {
        texts("batch.row"): [row.row for row in rows],
        texts("batch.risk"): [row.answer.probability for row in rows],
        texts("batch.class"): [
            texts("batch.at_risk" if row.answer.flagged else "batch.not_at_risk") for row in rows
        ],
    }
    cells = {label: [row.cells[index] for row in rows] for index, label in enumerate(labels)}
    return pd.DataFrame({**cells, **answers})[[*answers, *(label for label in cells if label not in answers)]]


def _column_label(name: str, schema: Schema, texts: Texts) -> str:
    field = schema.field(patients_csv.field_name(name))
    return name if field is None else field.title(texts.language)
