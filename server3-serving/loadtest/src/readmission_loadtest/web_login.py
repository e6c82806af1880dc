"""A login for Locust's web pages, because not everyone who can reach them may start a load test."""

import secrets

from flask import Blueprint, Flask, redirect, request, session, url_for
from flask_login import UserMixin, login_user
from locust.web import WebUI
from werkzeug.wrappers import Response

from readmission_loadtest.errors import LoadTestError
from readmission_loadtest.settings import LoadTestSettings


class _User(UserMixin):  # type: ignore[misc]
    def __init__(self, name: str) -> None:
        self.id = name


def guard(pages: WebUI, app: Flask, settings: LoadTestSettings) -> None:
    """Admit only the user from the settings; raise `LoadTestError` if the settings name none."""
    if settings.web_user is None or settings.web_password is None:
        raise LoadTestError(
            "--web-login needs READMISSION_LOADTEST_WEB_USER and READMISSION_LOADTEST_WEB_PASSWORD"
        )
    user, password = settings.web_user, settings.web_password.get_secret_value()
    login = Blueprint("readmission_login", __name__)

    @login.post("/login_submit")
    def submit() -> Response:
        given = request.form.get("username", ""), request.form.get("password", "")
        right = [
            secrets.compare_digest(a.encode(), b.encode())
            for a, b in zip(given, (user, password), strict=True)
        ]
        if all(right):
            login_user(_User(user))
            return redirect(url_for("locust.index"))
        session["auth_error"] = "Wrong user or password"
        return redirect(url_for("locust.login"))

    # A restart ends the sessions.
    app.config["SECRET_KEY"] = secrets.token_urlsafe(32)
    pages.auth_args = {"username_password_callback": "/login_submit"}
    pages.login_manager.user_loader(lambda name: _User(name) if name == user else None)
    app.register_blueprint(login)
