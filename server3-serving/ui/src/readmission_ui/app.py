"""The page's script: Streamlit runs it from top to bottom at every change."""

from pathlib import Path

import streamlit as st

from readmission_ui import away, header, model_panel
from readmission_ui import settings as ui_settings
from readmission_ui.api_client import ApiClient
from readmission_ui.errors import ApiAwayError, ModelAwayError, ReadmissionUIError
from readmission_ui.page import Page, Seen, client, look
from readmission_ui.settings import UISettings
from readmission_ui.tabs import batch, monitor, predict
from readmission_ui.texts import Texts

TABS_KEY = "tab"
OPEN_TAB_KEY = "open tab"


def main() -> None:
    """Draw the whole page."""
    here = Path(__file__).parent
    # The icon is a file: a named one would be fetched from outside the hospital.
    st.set_page_config(page_title="Readmission risk", page_icon=here / "icon.svg", layout="wide")
    st.html(here / "style.css")
    settings = ui_settings.load()
    api = client()
    with st.container(horizontal=True, vertical_alignment="center", key="top"):
        title = st.container(width="stretch", key="title", gap="xxsmall")
        tools = st.container(horizontal=True, vertical_alignment="center", key="tools", width="content")
    with tools:
        state = st.container(width="content", key="state")
        texts = header.choose_language(settings)
        panel = st.container(width="content", key="panel")
    with title:
        header.draw_title(texts)
    seen, page = _open(settings, api, texts)
    with state:
        header.draw_state(settings, api, seen, texts)
    if page is None:
        away.draw(settings, seen, texts)
        return
    with panel:
        model_panel.draw(page)
    if page.model.synthetic:
        header.draw_synthetic_banner(texts)
    _draw_tabs(page)


def _open(settings: UISettings, api: ApiClient, texts: Texts) -> tuple[Seen, Page | None]:
    """Look at the API and, where it is ready, ask for the model and its schema."""
    seen = look(api)
    if seen.health is None or not seen.health.ready:
        return seen, None
    try:
        return seen, Page(settings, api, texts, model=api.model(), schema=api.schema())
    except (ApiAwayError, ModelAwayError):
        # It went away between two questions: tell it as it is by now.
        return look(api), None
    except ReadmissionUIError as error:
        return Seen(health=seen.health, error=error), None


def _draw_tabs(page: Page) -> None:
    texts = page.texts
    labels = [
        f":material/person: {texts('page.predict')}",
        f":material/groups: {texts('page.batch')}",
        f":material/monitoring: {texts('page.monitor')}",
    ]
    if TABS_KEY in st.session_state and st.session_state[TABS_KEY] not in labels:
        # The language changed, and with it the tabs' names: the same tab stays open.
        st.session_state[TABS_KEY] = labels[st.session_state.get(OPEN_TAB_KEY, 0)]
    tabs = st.tabs(labels, key=TABS_KEY, on_change="rerun")
    st.session_state[OPEN_TAB_KEY] = next(index for index, tab in enumerate(tabs) if tab.open)
    one, many, watched = tabs
    # The first two are always drawn: they keep what was filled in.
    with one:
        predict.draw(page)
    with many:
        batch.draw(page)
    if watched.open:
        with watched:
            monitor.draw(page)


main()
