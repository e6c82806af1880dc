"""A synthetic model, and a model with other fields that comes in while the page is open."""

from collections.abc import Callable

import httpx

from server3.ui.conftest import TOKEN
from server3.ui.support import patients
from server3.ui.support.app import markdown, open_app
from server3.ui.support.processes import Served


def reload(app) -> None:
    """Press the button in the dialog: in a browser the dialog alone runs, here the whole page does."""
    app.button(key="model").click()
    app.button(key="reload").click().run()


def test_nobody_takes_a_synthetic_models_answer_for_the_real_thing(monkeypatch, rehearsal_api: Served):
    app = open_app(monkeypatch, rehearsal_api.url)
    assert "SYNTHETIC DATA: NOT A REAL RISK" in app.error[0].value
    app.button(key="example 0").click().run()
    app.button(key="predict").click().run()
    said = [error.value for error in app.error]
    assert sum("not a real risk" in text.lower() for text in said) == 2
    schema = httpx.get(f"{rehearsal_api.url}/model/schema").json()
    content = patients.to_csv(patients.rows(schema, 3)).encode()
    app.file_uploader(key="upload").set_value(("ward.csv", content, "text/csv"))
    app.run()
    app.button(key="score").click().run()
    assert app.session_state["scored"].to_csv().decode().count("SYNTHETIC MODEL: NOT A REAL RISK") == 3


def test_a_real_models_page_has_no_such_banner(monkeypatch, api: Served):
    app = open_app(monkeypatch, api.url)
    assert not app.error


def test_reloading_asks_for_the_token(monkeypatch, rehearsal_api: Served):
    app = open_app(monkeypatch, rehearsal_api.url)
    app.button(key="model").click().run()
    app.text_input(key="token").set_value("wrong")
    reload(app)
    assert "did not take this token" in app.error[-1].value


def test_reloading_an_unchanged_model_says_so(monkeypatch, rehearsal_api: Served):
    app = open_app(monkeypatch, rehearsal_api.url, token=TOKEN)
    app.button(key="model").click().run()
    assert "token" not in [text.key for text in app.text_input]
    reload(app)
    assert "Version 2 is still the newest." in app.success[0].value


def test_a_new_model_with_a_renamed_and_an_added_field_needs_no_change_of_code(
    monkeypatch, rehearsal_api: Served, point_rehearsal: Callable[[str], None]
):
    app = open_app(monkeypatch, rehearsal_api.url, token=TOKEN)
    app.button(key="example 2").click().run()
    labels = {widget.label for widget in [*app.selectbox, *app.number_input]}
    assert "Inpatient stays *" in labels
    assert "Lives *" not in labels
    length = next(number for number in app.number_input if number.label.startswith("Length of stay"))
    kept = length.value

    point_rehearsal("3")
    app.button(key="model").click().run()
    reload(app)

    assert not app.exception
    assert not app.error
    said = markdown(app)
    assert "version 3" in said
    assert "##### At home" in said
    labels = {widget.label for widget in [*app.selectbox, *app.number_input]}
    assert "Inpatient stays *" not in labels
    renamed = next(number for number in app.number_input if number.label == "Stays before this one *")
    assert (renamed.min, renamed.max, renamed.value) == (0, 60, None)
    lives = next(box for box in app.selectbox if box.label == "Lives *")
    assert lives.options == ["Alone", "With others"]
    length = next(number for number in app.number_input if number.label.startswith("Length of stay"))
    assert length.value == kept

    app.button(key="predict").click().run()
    assert "Stays before this one, Lives" in app.warning[0].value
    app.button(key="example 2").click().run()
    app.button(key="predict").click().run()
    schema = httpx.get(f"{rehearsal_api.url}/model/schema").json()
    patient = schema["examples"][2]["patient"]
    risk = httpx.post(f"{rehearsal_api.url}/predict", json=patient).json()["probability"]
    assert f"# {100 * risk:.1f}%" in markdown(app)
