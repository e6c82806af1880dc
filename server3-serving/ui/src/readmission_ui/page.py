"""What one run of the page works with: the API, its state, the model and the reader's language."""

from dataclasses import dataclass

import streamlit as st
from pydantic import SecretStr

from readmission_ui import settings as ui_settings
from readmission_ui.api_answers import Health, Model
from readmission_ui.api_client import ApiClient
from readmission_ui.errors import ReadmissionUIError
from readmission_ui.schema import Schema
from readmission_ui.settings import UISettings
from readmission_ui.texts import Texts


@dataclass(frozen=True)
class Page:
    """A page with a model behind it."""

    settings: UISettings
    client: ApiClient
    texts: Texts
    model: Model
    schema: Schema


@dataclass(frozen=True)
class Seen:
    """The API as it was a moment ago: `health` is None where it did not answer, `error` says how.

    `last_look` is the result of its last look at the registry, where that did not end well.
    """

    health: Health | None = None
    last_look: str | None = None
    error: ReadmissionUIError | None = None

    @property
    def key(self) -> tuple[bool, bool, str | None]:
        """What the whole page depends on: whether the API is there, is ready, and with which version."""
        if self.health is None:
            return (False, False, None)
        return (True, self.health.ready, self.health.version)


@st.cache_resource(show_spinner=False)
def client_of(url: str, timeout: float, _token: SecretStr | None) -> ApiClient:
    """Return the process's one client of an API."""
    return ApiClient(url, timeout, _token)


def client() -> ApiClient:
    """Return the client of the API that the settings name."""
    settings = ui_settings.load()
    return client_of(settings.api_url, settings.api_timeout, settings.client_token)


def look(api: ApiClient) -> Seen:
    """Look at the API's state; an API that is away is a state too."""
    try:
        health = api.health()
        # Its health tells only that something is wrong.
        last_look = api.model().reload.last_result if health.ready and health.stale else None
        return Seen(health=health, last_look=last_look)
    except ReadmissionUIError as error:
        return Seen(error=error)
