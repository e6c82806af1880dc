import json

import pytest

from readmission_api.errors import ModelRefusedError
from readmission_api.predictor.schema import parse
from server3.api.conftest import schema_of


@pytest.fixture
def document(versions):
    return schema_of(versions.one)


def reason_of(document):
    with pytest.raises(ModelRefusedError) as caught:
        parse(json.dumps(document).encode())
    return caught.value.reason


def test_a_schema_is_read(document):
    schema = parse(json.dumps(document).encode())
    assert len(schema.fields) == 46


def test_a_newer_minor_version_with_new_keys_is_read(document):
    schema = parse(json.dumps(document | {"schema_version": "1.7", "news": [1, 2]}).encode())
    assert schema.schema_version == "1.7"


@pytest.mark.parametrize("version", ["2.0", "0.9", "10.0", ""])
def test_another_major_version_is_refused_even_where_all_else_differs(version):
    assert reason_of({"schema_version": version, "something": "else"}) == "schema_major"


def test_what_is_no_schema_is_refused():
    for text in (b"", b"[]", b"{}", b"\xff", b'{"schema_version": 1}'):
        with pytest.raises(ModelRefusedError):
            parse(text)


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document["graph"]["numeric"].append("height"),
        lambda document: document["graph"]["numeric"].append("age"),
        lambda document: document["graph"]["categorical"].append("time_in_hospital"),
        lambda document: document["fields"].append(document["fields"][0]),
        lambda document: document["fields"][0].update(kind="colour"),
        lambda document: document.update(threshold=1.5),
        lambda document: document.update(threshold="high"),
        lambda document: document.update(created="yesterday"),
        lambda document: document["scores"]["distribution"]["shares"].pop(),
        lambda document: [
            field["distribution"]["edges"].append(1e9)
            for field in document["fields"]
            if field["kind"] == "integer"
        ],
        lambda document: [field.pop("levels", None) for field in document["fields"]],
        lambda document: [field.pop("minimum", None) for field in document["fields"]],
        lambda document: [field.pop("pattern", None) for field in document["fields"]],
        lambda document: [field.update(absent=None, required=False) for field in document["fields"]],
    ],
)
def test_a_schema_that_contradicts_itself_is_refused(document, change):
    change(document)
    assert reason_of(document) == "schema"
