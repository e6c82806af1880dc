"""The app in Streamlit's own test harness, pointed at a server."""

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

import readmission_ui
from readmission_ui import settings

SCRIPT = Path(readmission_ui.__file__).with_name("app.py")
SECONDS = 60


def open_app(monkeypatch: pytest.MonkeyPatch, api_url: str, **told: str) -> AppTest:
    """Open the page of a process that was told these settings."""
    for name, value in {"api_url": api_url, **told}.items():
        monkeypatch.setenv(f"READMISSION_UI_{name.upper()}", value)
    settings.load.cache_clear()
    return AppTest.from_file(str(SCRIPT), default_timeout=SECONDS).run()


def markdown(app: AppTest) -> str:
    """Return all that the page says in Markdown and captions."""
    return "\n".join(element.value for element in [*app.markdown, *app.caption])
