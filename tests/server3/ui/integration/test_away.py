"""What stands on the page while there is nothing to predict with."""

from server3.ui.conftest import Apis
from server3.ui.support.app import markdown, open_app
from server3.ui.support.processes import Served, free_port


def test_no_api(monkeypatch):
    url = f"http://127.0.0.1:{free_port()}"
    app = open_app(monkeypatch, url)
    assert not app.exception
    assert "The prediction service cannot be reached" in app.subheader[0].value
    assert url in markdown(app)
    assert "API away" in markdown(app)
    assert not app.tabs


def test_no_api_in_spanish(monkeypatch):
    app = open_app(monkeypatch, f"http://127.0.0.1:{free_port()}", language="es")
    assert "No se puede acceder al servicio de predicción" in app.subheader[0].value


def test_an_api_without_a_model(monkeypatch, apis: Apis):
    app = open_app(monkeypatch, apis.without_model.url)
    assert not app.exception
    assert "The prediction service has no model yet" in app.subheader[0].value
    assert "nobody" in app.code[0].value
    assert "API has no model" in markdown(app)


def test_another_server_at_the_address(monkeypatch, registry: Served):
    app = open_app(monkeypatch, registry.url)
    assert not app.exception
    assert "answers in a way this page does not understand" in app.subheader[0].value
