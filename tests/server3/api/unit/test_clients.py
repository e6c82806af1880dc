"""Who may predict: clients by their tokens, as the app sees them, and a file of clients that changes."""

import asyncio
import hashlib
import json
import logging
import os

import httpx
import pytest

from readmission_api.app import create_app
from readmission_api.clients import OPERATOR, Clients, require
from readmission_api.errors import BadSettingError, RefusedError
from readmission_api.serve import serve
from readmission_api.settings import ApiSettings

PREDICTING = ("/predict", "/predict_batch", "/explain")


def entry(name, token, *may):
    return {"name": name, "sha256": hashlib.sha256(token.encode()).hexdigest(), "may": list(may)}


def write(file, *entries):
    """Replace the file, as Kubernetes does."""
    part = file.with_suffix(".part")
    part.write_text(json.dumps(entries))
    part.replace(file)
    return file


@pytest.fixture(scope="module")
def ask(tmp_path_factory):
    folder = tmp_path_factory.mktemp("guarded")
    file = write(
        folder / "clients.json",
        entry("ward", "of-the-ward", "predict"),
        entry("ehr", "of-the-ehr", "outcomes"),
    )
    app = create_app(
        ApiSettings(
            clients_file=file, token="of-the-operator", state_dir=folder, tracking_uri="http://127.0.0.1:9"
        )
    )

    def ask(method, path, authorization=None):
        async def request():
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://a") as client:
                headers = {"authorization": authorization} if authorization else {}
                return await client.request(method, path, headers=headers)

        return asyncio.run(request())

    return ask


@pytest.mark.parametrize("path", PREDICTING)
def test_nobody_predicts_without_a_key(ask, path):
    sha256 = hashlib.sha256(b"of-the-ward").hexdigest()
    for given in (
        None,
        "Bearer",
        "Bearer of-the-war",
        "Bearer of-the-wardx",
        "Basic of-the-ward",
        f"Bearer {sha256}",
    ):
        answer = ask("POST", path, given)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized"), given
        assert answer.headers["www-authenticate"] == "Bearer"
    # There is no model and no body: a complaint about either comes after the key.
    assert ask("POST", path, "bearer  of-the-ward").status_code in {415, 503}
    assert ask("POST", path, "Bearer of-the-operator").status_code in {415, 503}


@pytest.mark.parametrize(
    ("path", "token"),
    [
        *((path, "of-the-ehr") for path in PREDICTING),
        ("/outcomes", "of-the-ward"),
        ("/reload_model", "of-the-ehr"),
    ],
)
def test_a_client_does_only_what_it_may(ask, path, token):
    answer = ask("POST", path, f"Bearer {token}")
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


def test_what_is_guarded_is_documented(ask):
    paths = ask("GET", "/openapi.json").json()["paths"]
    guarded = {path for path, methods in paths.items() for about in methods.values() if "security" in about}
    assert guarded == {*PREDICTING, "/outcomes", "/reload_model"}


def test_a_client_comes_and_goes_without_a_restart(tmp_path):
    file = write(tmp_path / "clients.json", entry("ward", "one", "predict"))
    clients = Clients(file, None)
    assert clients.identify(b"Bearer one").name == "ward"
    write(file, entry("other", "two", "predict"))
    clients.follow()
    assert clients.identify(b"Bearer two").name == "other"
    with pytest.raises(RefusedError) as refused:
        require(clients.identify(b"Bearer one"), "predict")
    assert refused.value.status == 401


def test_a_file_that_cannot_be_used_lets_nobody_in_and_nobody_out(tmp_path, caplog):
    file = write(tmp_path / "clients.json", entry("ward", "one", "predict"))
    clients = Clients(file, None)
    for damage in (lambda: file.write_text("[{"), file.unlink):
        damage()
        with caplog.at_level(logging.ERROR, "readmission_api"):
            clients.follow()
        assert "the clients stay as they were" in caplog.messages[-1]
        assert clients.identify(b"Bearer one").name == "ward"
        assert clients.identify(None).may == frozenset()


@pytest.mark.parametrize(
    "entries",
    [
        [entry("ward", "one", "predict"), entry("ward", "two")],
        [entry("ward", "one", "predict"), entry("other", "one")],
        [entry(OPERATOR, "one", "predict")],
        [entry("ward", "one", "everything")],
        [entry("a ward", "one")],
        [entry("ward\n", "one")],
        [{"name": "ward", "sha256": "0" * 63, "may": []}],
        [{"name": "ward", "token": "one", "may": []}],
        {"ward": "one"},
    ],
)
def test_a_file_with_a_mistake_is_refused_without_repeating_it(tmp_path, entries):
    file = tmp_path / "clients.json"
    file.write_text(json.dumps(entries))
    with pytest.raises(BadSettingError, match="READMISSION_API_CLIENTS_FILE") as error:
        Clients(file, None)
    assert "one" not in str(error.value).split()


def test_without_clients_the_api_says_that_it_is_open(tmp_path, caplog):
    app = create_app(ApiSettings(state_dir=tmp_path, tracking_uri="http://127.0.0.1:9"))

    async def health():
        async with (
            app.app.api.router.lifespan_context(app.app.api),
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://a") as client,
        ):
            return (await client.get("/health")).json()

    with caplog.at_level(logging.WARNING, "readmission_api"):
        assert asyncio.run(health())["open"] is True
    assert any(line.startswith("OPEN: anybody") for line in caplog.messages)


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])  # noqa: S104 - it must not be listened on
def test_an_open_api_is_not_put_on_the_network_by_mistake(tmp_path, host):
    with pytest.raises(BadSettingError, match="READMISSION_API_OPEN"):
        serve(ApiSettings(host=host, port=0, state_dir=tmp_path))


def test_clients_that_cannot_be_read_stop_the_start(tmp_path):
    with pytest.raises(BadSettingError, match=os.strerror(2)):
        serve(ApiSettings(port=0, state_dir=tmp_path, clients_file=tmp_path / "missing.json"))
