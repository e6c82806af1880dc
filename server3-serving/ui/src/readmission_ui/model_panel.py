"""The model behind a button: what it is, its card, and looking for a newer version."""

import streamlit as st
from pydantic import SecretStr

from readmission_ui import problems
from readmission_ui.api_answers import Estimate, Model
from readmission_ui.errors import ReadmissionUIError, TokenRefusedError
from readmission_ui.page import Page
from readmission_ui.texts import Texts


def draw(page: Page) -> None:
    """Draw the button and what opens from it."""
    texts = page.texts
    label = f"{texts('model.button')} · {texts('state.model', version=page.model.version)}"
    if st.button(label, icon=":material/deployed_code:", key="model"):
        _open(page)


def _open(page: Page) -> None:
    texts = page.texts

    @st.dialog(texts("model.button"), width="medium", icon=":material/deployed_code:")
    def show() -> None:
        if page.model.synthetic:
            st.error(f"**{texts('synthetic.short')}**", icon=":material/warning:")
        st.markdown(facts(page.model, texts))
        with st.expander(texts("model.card"), icon=":material/description:", key="card"):
            try:
                st.markdown(page.client.card())
            except ReadmissionUIError as error:
                st.error(texts("model.card_away", message=problems.sentence(error, texts)))
        _draw_reload(page)

    show()


def facts(model: Model, texts: Texts) -> str:
    """Return what is known of a version, as a Markdown table."""
    dataset = model.dataset
    kind = texts(f"model.{dataset.kind}") if dataset.kind in {"uci", "own", "synthetic"} else dataset.kind
    rows = f", {texts('model.rows', rows=texts.number(dataset.train_rows))}" if dataset.train_rows else ""
    threshold = texts.percent(model.threshold)
    if model.flagged_fraction is not None:
        threshold = texts(
            "model.flags", threshold=threshold, fraction=texts.percent(model.flagged_fraction, 0)
        )
    lines: list[tuple[str, str | None]] = [
        ("model.name", f"`{model.model}`"),
        ("model.version", model.version),
        ("model.alias", model.alias),
        ("model.candidate", model.candidate),
        ("model.trained_on", f"{kind}{rows}"),
        ("model.auc", _estimate(model.test_metric("roc_auc"), texts)),
        ("model.precision", _estimate(model.test_metric("average_precision"), texts)),
        ("model.threshold", threshold),
        ("model.created", texts.moment(model.created) if model.created else None),
        ("model.loaded", texts.moment(model.loaded_at) if model.loaded_at else None),
        (
            "model.challenger",
            texts("state.model", version=model.challenger.version) if model.challenger else None,
        ),
        ("model.last_look", texts.moment(model.reload.last_checked) if model.reload.last_checked else None),
    ]
    first, *others = [f"| {texts(key)} | {said} |" for key, said in lines if said]
    return "\n".join([first, "|---|---|", *others])


def _estimate(estimate: Estimate | None, texts: Texts) -> str | None:
    if estimate is None:
        return None
    value = texts.number(estimate.value, 3)
    if estimate.low is None or estimate.high is None:
        return value
    return texts(
        "model.interval", value=value, low=texts.number(estimate.low, 3), high=texts.number(estimate.high, 3)
    )


def _draw_reload(page: Page) -> None:
    texts = page.texts
    token = page.settings.token
    if token is None:
        typed = st.text_input(
            texts("model.token"), type="password", help=texts("model.token_help"), key="token"
        )
        token = SecretStr(typed) if typed else None
    if not st.button(texts("model.reload"), icon=":material/sync:", key="reload", width="stretch"):
        return
    try:
        reloaded = page.client.reload(token)
    except TokenRefusedError:
        st.error(texts("model.token_refused"), icon=":material/lock:")
    except ReadmissionUIError as error:
        st.error(texts("model.refused", message=problems.sentence(error, texts)), icon=":material/error:")
    else:
        if reloaded.version != page.model.version:
            st.toast(texts("model.loaded_now", version=reloaded.version), icon=":material/check:")
            st.rerun(scope="app")
        st.success(texts("model.unchanged", version=reloaded.version), icon=":material/check:")
