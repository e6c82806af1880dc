"""The tab for many patients, against a real API."""

import httpx
import pytest

from server3.ui.support import patients
from server3.ui.support.app import open_app
from server3.ui.support.processes import Served


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch, api: Served):
    return open_app(monkeypatch, api.url)


@pytest.fixture(scope="module")
def schema(api: Served) -> dict:
    return httpx.get(f"{api.url}/model/schema").json()


def score(app, name: str, content: bytes):
    app.file_uploader(key="upload").set_value((name, content, "text/csv"))
    app.run()
    return app.button(key="score").click().run()


def test_500_rows_of_which_7_are_bad(app, api: Served, schema: dict):
    content = patients.with_bad_rows(schema, 500)

    score(app, "ward.csv", content)

    assert not app.exception
    assert [metric.value for metric in app.metric] == ["500", app.metric[1].value, "7"]
    refused, accepted = (table.value for table in app.dataframe)
    assert list(refused["Row"]) == sorted([*patients.SPOILED, patients.SHORT_ROW])
    reasons = "\n".join(refused["Why"])
    assert "Age: not one of the values it can have, such as [0-10)" in reasons
    assert "Length of stay: must be from 1 to 14" in reasons
    assert "Gender: is needed" in reasons
    assert "Inpatient stays: must be a whole number from 0 to 100" in reasons
    assert "The row does not have as many cells as the header" in reasons
    assert "banana" not in reasons
    assert len(accepted) == 493
    assert accepted["bed"].iloc[0] == "B1"

    kinds = {field["name"]: field["kind"] for field in schema["fields"]}
    for number in (1, 250, 500):
        row = patients.rows(schema, 500)[number - 1]
        patient = {name: int(row[name]) if kind == "integer" else row[name] for name, kind in kinds.items()}
        alone = httpx.post(f"{api.url}/predict", json=patient).json()
        together = accepted.set_index("Row").loc[number]
        assert together["Risk"] == pytest.approx(alone["probability"], abs=1e-6)
        assert (together["Class"] == "At risk") == bool(alone["class"])
    assert int(app.metric[1].value) == sum(accepted["Class"] == "At risk")


def test_a_file_from_a_spanish_spreadsheet_is_read(app, schema: dict):
    rows = patients.rows(schema, 30)
    for row in rows:
        row["bed"] = "habitación ñ"
    content = patients.to_csv(rows, delimiter=";").encode("cp1252")
    score(app, "planta.csv", content)
    assert [metric.value for metric in app.metric][::2] == ["30", "0"]
    assert app.dataframe[0].value["bed"].iloc[0] == "habitación ñ"


def test_who_must_not_be_scored_is_refused_with_the_reason_in_the_readers_language(
    monkeypatch, api: Served, schema: dict
):
    exclusion = schema["cohort"]["exclusions"][0]
    rows = patients.rows(schema, 3)
    rows[1][exclusion["field"]] = exclusion["levels"][0]
    app = open_app(monkeypatch, api.url, language="es")
    score(app, "planta.csv", patients.to_csv(rows).encode())
    refused = app.dataframe[0].value
    assert list(refused["Fila"]) == [2]
    assert exclusion["reason"]["es"] in refused["Motivo"][0]


def test_columns_that_are_no_fields_are_told_and_not_sent(app, schema: dict):
    score(app, "ward.csv", patients.to_csv(patients.rows(schema, 5)).encode())
    assert "`bed`" in app.info[0].value
    assert app.metric[0].value == "5"


def test_a_missing_column_refuses_the_file_by_its_name(app, schema: dict):
    rows = patients.rows(schema, 5)
    for row in rows:
        del row["gender"]
    score(app, "ward.csv", patients.to_csv(rows).encode())
    assert "Gender: is needed" in app.error[0].value
    assert not app.dataframe


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "This file is empty"),
        (b"race,gender\r\n", "no patient below it"),
        (b"PK\x03\x04\x00\x00", "workbook or an archive"),
        (b"race\x00", "not a text file"),
        (b"bed,name\r\nB1,Ann\r\n", "None of the columns is a field of this model: `bed`, `name`."),
        (b'race,gender\r\n"Caucasian,Female\r\n', "a quoted cell does not end"),
    ],
)
def test_a_file_without_patients_is_refused_with_a_reason(app, content: bytes, said: str):
    app.file_uploader(key="upload").set_value(("ward.csv", content, "text/csv"))
    app.run()
    assert said in app.error[0].value
    assert "score" not in [button.key for button in app.button]
