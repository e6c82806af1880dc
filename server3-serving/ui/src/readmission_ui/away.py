"""The page while there is nothing to predict with: what is away, and what to do about it."""

import streamlit as st

from readmission_ui.errors import ApiAwayError, SchemaTooNewError
from readmission_ui.page import Seen
from readmission_ui.settings import UISettings
from readmission_ui.texts import Texts


def draw(settings: UISettings, seen: Seen, texts: Texts) -> None:
    """Draw what is away: the API, its model, or an understanding of either."""
    reason = None
    if isinstance(seen.error, SchemaTooNewError):
        what, icon = "schema", "upgrade"
    elif isinstance(seen.error, ApiAwayError):
        what, icon = "api", "cloud_off"
    elif seen.error is not None:
        what, icon = "strange", "question_mark"
    else:
        what, icon = "model", "deployed_code_alert"
        reason = seen.health.reason if seen.health else None
    with st.container(border=True, key="away", horizontal_alignment="center"):
        title = texts(f"away.{what}_title")
        st.subheader(f":material/{icon}: {title}", anchor=False, width="content")
        st.markdown(texts(f"away.{what}_what", url=settings.api_url), width="content")
        if reason:
            st.code(texts("away.model_reason", reason=reason), language=None, wrap_lines=True)
        st.caption(texts(f"away.{what}_todo"), width="content")
        st.caption(
            f":material/sync: {texts('away.again', seconds=f'{settings.refresh_seconds:g}')}", width="content"
        )
