"""The tab for one patient, against a real API."""

import json

import httpx
import pytest

from server3.ui.support.app import markdown, open_app
from server3.ui.support.processes import Served


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch, api: Served):
    return open_app(monkeypatch, api.url)


def charts(app) -> list[dict]:
    return [json.loads(chart.proto.spec) for chart in app.get("echarts_chart")]


def predicted(api: Served) -> float:
    lines = httpx.get(f"{api.url}/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("predictions_total"))


def test_the_form_has_every_field_of_the_schema(app, api: Served):
    schema = httpx.get(f"{api.url}/model/schema").json()
    drawn = [widget.label for widget in [*app.selectbox, *app.number_input, *app.text_input]]
    assert not app.exception
    for field in schema["fields"]:
        assert any(label.startswith(field["label"]["en"]) for label in drawn), field["name"]
    said = markdown(app)
    for group in schema["groups"]:
        assert f"##### {group['label']['en']}" in said


def test_a_category_offers_its_levels_in_words_and_the_absent_one_first(app):
    race = next(box for box in app.selectbox if box.label == "Race")
    assert race.options[:2] == ["Not known", "African American"]
    assert race.value == "?"
    gender = next(box for box in app.selectbox if box.label == "Gender *")
    assert gender.value is None


@pytest.mark.parametrize("example", [0, 2])
def test_an_example_is_answered_as_the_api_does(app, api: Served, example: int):
    schema = httpx.get(f"{api.url}/model/schema").json()
    patient = schema["examples"][example]["patient"]
    expected = httpx.post(f"{api.url}/predict", json=patient).json()
    explained = httpx.post(f"{api.url}/explain", json=patient).json()

    app.button(key=f"example {example}").click().run()
    app.button(key="predict").click().run()

    assert not app.exception
    said = markdown(app)
    risk = expected["probability"]
    assert f"# {100 * risk:.1f}%" in said
    assert ("At risk: at or above" in said) == bool(expected["class"])
    assert ("Below the threshold of" in said) == (not expected["class"])
    below = sum(quantile < risk for quantile in schema["scores"]["quantiles"])
    assert any(f"Higher than {share}% of past" in said for share in (below - 1, below, below + 1))
    assert "best_diabetes_readmission_model, version 1" in said
    gauge, _, moved = charts(app)
    assert gauge["series"][0]["data"][0]["value"] == pytest.approx(100 * risk, abs=0.01)
    strongest = [part for part in explained["contributions"] if part["contribution"]][:10]
    bars = moved["series"][0]["data"]
    assert [bar["value"] for bar in bars] == pytest.approx(
        [100 * part["contribution"] for part in strongest], abs=1e-3
    )
    titles = {field["name"]: field["label"]["en"] for field in schema["fields"]}
    assert [label.partition(":")[0] for label in moved["yAxis"]["data"]] == [
        titles[part["field"]] for part in strongest
    ]


def test_what_is_still_needed_is_named_and_nothing_is_asked(app, api: Served):
    before = predicted(api)
    app.button(key="predict").click().run()
    warning = app.warning[0].value
    assert warning.startswith("Still needed: ")
    assert "Gender" in warning
    assert "Length of stay" in warning
    assert "Race" not in warning
    assert predicted(api) == before


def test_a_refused_code_is_explained_in_both_languages(app):
    app.button(key="example 1").click().run()
    code = next(text for text in app.text_input if text.label == "Primary diagnosis")
    code.set_value("banana").run()
    app.button(key="predict").click().run()
    assert "Primary diagnosis: not a code of the form that is asked for" in app.error[0].value
    app.segmented_control(key="language").set_value("es").run()
    app.button(key="predict").click().run()
    assert "Diagnóstico principal: no es un código con la forma que se pide" in app.error[0].value
    assert "banana" not in app.error[0].value


def test_the_language_changes_every_word_and_keeps_what_was_filled_in(app):
    app.button(key="example 2").click().run()
    app.button(key="predict").click().run()
    risk = next(element.value for element in app.markdown if element.value.startswith("# "))
    held = {box.label: box.value for box in app.selectbox}

    app.segmented_control(key="language").set_value("es").run()

    assert not app.exception
    assert app.query_params == {"lang": "es"}
    gender = next(box for box in app.selectbox if box.label == "Género *")
    assert gender.options == ["Femenino", "Masculino", "Desconocido o no válido"]
    assert [box.value for box in app.selectbox] == list(held.values())
    said = markdown(app)
    assert risk.replace(".", ",").replace("%", "\N{NO-BREAK SPACE}%") in said
    assert "Lo que más ha influido" in said
    assert "What moved it most" not in said


def test_an_answer_of_another_patient_is_marked(app):
    app.button(key="example 0").click().run()
    app.button(key="predict").click().run()
    assert not app.info
    days = next(number for number in app.number_input if number.label == "Length of stay (days) *")
    days.set_value(13).run()
    assert "The form has changed" in app.info[0].value
    app.button(key="predict").click().run()
    assert not app.info


def test_emptying_the_form_takes_the_answer_with_it(app):
    app.button(key="example 0").click().run()
    app.button(key="predict").click().run()
    app.button(key="clear").click().run()
    assert not charts(app)
    assert all(number.value is None for number in app.number_input)
    assert "The answer will stand here" in markdown(app)
