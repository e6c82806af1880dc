"""What stands above every tab: the title, the API's state, the language, the synthetic banner."""

from datetime import UTC, datetime
from typing import Final

import streamlit as st

from readmission_ui import timeline
from readmission_ui.api_client import ApiClient
from readmission_ui.errors import ApiAwayError
from readmission_ui.page import Seen, look
from readmission_ui.settings import Language, UISettings
from readmission_ui.texts import LANGUAGES, NAMES, Texts

LANGUAGE_KEY = "language"
SEEN_KEY = "seen"

LAST_LOOK: Final = {
    "unreachable": "state.unreachable",
    "refused": "state.version_refused",
    "refused_before": "state.version_refused",
    "unset": "state.unset",
}
"""The text for each result of a look at the registry that has one of its own."""


def choose_language(settings: UISettings) -> Texts:
    """Draw the language switch and return the texts of the language that stands there."""
    chosen = st.segmented_control(
        "Language · Idioma",
        LANGUAGES,
        default=_first_language(settings),
        required=True,
        format_func=lambda language: NAMES[language],
        label_visibility="collapsed",
        key=LANGUAGE_KEY,
        on_change=_keep_language,
    )
    return Texts(chosen)


def _keep_language() -> None:
    """Put the language into the address, so that a bookmark or a sent link opens in it."""
    st.query_params["lang"] = st.session_state[LANGUAGE_KEY]


def _first_language(settings: UISettings) -> Language:
    browser = (st.context.locale or "en").partition("-")[0]
    wanted = [st.query_params.get("lang"), settings.language, browser]
    return next((language for name in wanted for language in LANGUAGES if language == name), "en")


def draw_title(texts: Texts) -> None:
    """Draw the product's name and what it tells."""
    st.markdown(f"### :material/cardiology: {texts('page.title')}")
    st.caption(texts("page.subtitle"))


def draw_state(settings: UISettings, client: ApiClient, seen: Seen, texts: Texts) -> None:
    """Draw the API's state, and keep looking: the whole page runs again when the API or its model changes."""
    st.session_state[SEEN_KEY] = seen.key

    @st.fragment(run_every=settings.refresh_seconds)
    def watch() -> None:
        now = look(client)
        if now.key != st.session_state[SEEN_KEY]:
            st.rerun(scope="app")
        if now.health is not None:
            timeline.record(client, settings.refresh_seconds)
        label, colour, icon = state(now, texts)
        st.badge(
            label,
            color=colour,  # type: ignore[arg-type]
            icon=icon,
            help=texts(
                "state.seen", time=f"{datetime.now(UTC):%H:%M:%S}", seconds=f"{settings.refresh_seconds:g}"
            ),
        )

    watch()


def draw_synthetic_banner(texts: Texts) -> None:
    """Draw the warning that nobody can overlook while the model was trained on generated patients."""
    with st.container(key="synthetic"):
        st.error(f"**{texts('synthetic.title')}**\n\n{texts('synthetic.what')}", icon=":material/warning:")


def state(seen: Seen, texts: Texts) -> tuple[str, str, str]:
    """Return the state's words, colour and icon."""
    health = seen.health
    if isinstance(seen.error, ApiAwayError):
        return texts("state.away"), "red", ":material/cloud_off:"
    if health is None:
        return texts("state.strange"), "red", ":material/question_mark:"
    if not health.ready:
        return texts("state.no_model"), "red", ":material/do_not_disturb_on:"
    said = [texts("state.ready"), texts("state.model", version=health.version)]
    troubles = []
    if health.source == "disk":
        troubles.append(texts("state.disk"))
    if health.stale:
        troubles.append(texts(LAST_LOOK.get(seen.last_look or "", "state.stale")))
    if health.prediction_log == "failing":
        troubles.append(texts("state.log_failing"))
    label = " · ".join(said + troubles)
    if troubles:
        return label, "orange", ":material/warning:"
    return label, "green", ":material/check_circle:"
