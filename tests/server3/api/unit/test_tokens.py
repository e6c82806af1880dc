"""Which routes ask for which token, through the app itself."""

import asyncio

import httpx
import pytest

from readmission_api.app import create_app
from readmission_api.settings import ApiSettings


@pytest.fixture(scope="module")
def ask(tmp_path_factory):
    app = create_app(
        ApiSettings(
            token="write",
            metrics_token="read",
            state_dir=tmp_path_factory.mktemp("state"),
            tracking_uri="http://127.0.0.1:9",
        )
    )

    def ask(method, path, token=None):
        async def request():
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://a") as client:
                headers = {"authorization": f"Bearer {token}"} if token else {}
                return await client.request(method, path, headers=headers)

        return asyncio.run(request())

    return ask


@pytest.mark.parametrize(
    ("method", "path", "right", "wrong"),
    [
        ("GET", "/metrics", "read", "write"),
        ("POST", "/outcomes", "write", "read"),
        ("POST", "/reload_model", "write", "read"),
    ],
)
def test_a_route_takes_its_own_token_only(ask, method, path, right, wrong):
    for token in (None, wrong, right + "x"):
        answer = ask(method, path, token)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
        assert answer.headers["www-authenticate"] == "Bearer"
    assert ask(method, path, right).status_code != 401


def test_what_is_not_guarded_asks_for_none(ask):
    assert ask("GET", "/health/live").status_code == 200
    assert ask("POST", "/predict").status_code == 503


def test_the_document_says_so(ask):
    paths = ask("GET", "/openapi.json").json()["paths"]
    guarded = {path for path, methods in paths.items() for about in methods.values() if "security" in about}
    assert guarded == {"/metrics", "/outcomes", "/reload_model"}
