"""The OpenAPI document, written from the schema of the version that serves."""

from collections.abc import Mapping
from typing import Any, Final, get_args

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from readmission_api.prediction_log.outcomes import Status
from readmission_api.predictor.predictor import Predictor
from readmission_api.predictor.schema import MISSING, Field
from readmission_api.routes.answers import CONTENT_TYPE
from readmission_api.routes.parts import Parts

Json = dict[str, Any]

_ERRORS: Final = {
    "400": "The body is not JSON, or not UTF-8",
    "401": "The token is missing or wrong",
    "403": "The client does not have this right",
    "408": "The body did not arrive in time",
    "409": "No version has the alias",
    "413": "The body is too long",
    "415": "The body is of another content type",
    "422": "The body or a parameter is not valid",
    "501": "The server keeps no prediction log",
    "502": "The version was refused; the previous one is still serving",
    "503": "Overloaded, no model yet, or a dependency is unavailable; try again",
}
_BODY: Final = ("400", "408", "413", "415", "422", "503")
_PREDICTION: Final[Json] = {
    "probability": {"type": "number", "minimum": 0, "maximum": 1},
    "class": {"type": "integer", "enum": [0, 1], "description": "1 if probability >= threshold"},
    "interval": {
        "type": "object",
        "description": "Where the share of such patients who return may lie; only if the version knows it",
        "required": ["low", "high", "level"],
        "properties": {
            "low": {"type": "number", "minimum": 0, "maximum": 1},
            "high": {"type": "number", "minimum": 0, "maximum": 1},
            "level": {"type": "number", "description": "Confidence level, such as 0.95"},
        },
    },
    "warnings": {
        "type": "array",
        "items": {"type": "string"},
        "description": "Values of this patient that contradict each other, only if there are any",
    },
}
_SOMETIMES: Final = {"warning", "warnings", "interval"}
"""Members that an answer has only if there is something to say."""

_MODEL: Final[Json] = {
    "request_id": {"type": "string"},
    "model": {"type": "string"},
    "version": {"type": "string"},
    "threshold": {"type": "number"},
    "warning": {"type": "string", "description": "Present if the model was trained on synthetic data"},
}


def describe(api: FastAPI, parts: Parts) -> None:
    """Make the app's document follow the version that serves."""
    written: dict[str | None, Json] = {}

    def openapi() -> Json:
        serving = parts.store.serving
        key = serving.predictor.version.manifest_sha256 if serving else None
        if key not in written:
            written.clear()
            written[key] = _document(api, serving.predictor if serving else None, parts)
        return written[key]

    api.openapi = openapi  # type: ignore[method-assign]


def _document(api: FastAPI, predictor: Predictor | None, parts: Parts) -> Json:
    document: Json = get_openapi(title=api.title, version=api.version, summary=api.summary, routes=api.routes)
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schemas["Problem"] = _PROBLEM
    schemas["Patient"] = patient_schema(predictor) if predictor else {"type": "object"}
    paths = document["paths"]
    patient = {"$ref": "#/components/schemas/Patient"}
    examples = _examples(predictor)
    paths["/predict"] = {"post": _single(patient, examples)}
    _add_batch(paths["/predict_batch"]["post"], patient, examples, parts.settings.max_batch_rows)
    _add_explanation(paths["/explain"]["post"], patient, examples)
    _add_outcomes(paths["/outcomes"]["post"])
    _add_errors(paths["/reload_model"]["post"], ("409", "502", "503"))
    paths["/reload_model"]["post"]["responses"]["200"] = _answer(
        _object({"result": {"enum": ["loaded", "unchanged"]}, "version": {"type": "string"}}, more=True)
    )
    for path in ("/model", "/model/schema", "/model/card"):
        _add_errors(paths[path]["get"], ("503",))
    for path in ("/health", "/health/ready"):
        paths[path]["get"]["responses"]["503"] = _answer({"type": "object"}, "Not ready")
    paths["/model/schema"]["get"]["responses"]["304"] = {"description": "As the caller knows it"}
    paths["/model/card"]["get"]["responses"]["200"]["content"] = {"text/markdown": {}}
    paths["/metrics"]["get"]["responses"]["200"]["content"] = {"text/plain": {}}
    predicting = [paths[path]["post"] for path in ("/predict", "/predict_batch", "/explain")]
    guarded = [] if parts.clients.open else predicting
    if parts.settings.token or not parts.clients.open:
        guarded += [paths["/reload_model"]["post"], paths["/outcomes"]["post"]]
    if parts.settings.metrics_token:
        guarded.append(paths["/metrics"]["get"])
    if guarded:
        document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    for operation in guarded:
        operation["security"] = [{"token": []}]
        _add_errors(operation, ("401", "403"))
    return document


def patient_schema(predictor: Predictor) -> Json:
    """Return the fields of a patient as JSON Schema."""
    fields = predictor.patients.fields
    return {
        "type": "object",
        "additionalProperties": False,
        "required": [field.name for field in fields if field.required],
        "properties": {field.name: _field(field) for field in fields},
    }


def _field(field: Field) -> Json:
    about: Json = {"description": field.label.get("en", field.name)}
    if field.kind == "integer":
        return about | {"type": "integer", "minimum": field.minimum, "maximum": field.maximum}
    if field.kind == "icd9":
        assert field.pattern is not None  # noqa: S101 - the schema was checked when it was loaded
        code: Json = {"type": "string", "pattern": field.pattern.replace(r"\d", "[0-9]")}
        if not field.takes_missing:
            return about | code
        return about | {"anyOf": [code, {"enum": [MISSING, None]}]}
    values: list[Any] = [level.value for level in field.levels]
    values.extend(int(value) for value in field.whole_numbers)
    if field.takes_missing:
        values.extend(value for value in (MISSING, None) if value not in values)
    return about | {"enum": values}


def _examples(predictor: Predictor | None) -> Json:
    if predictor is None:
        return {}
    return {
        example.name.get("en", f"Example {number}"): {"value": example.patient}
        for number, example in enumerate(predictor.schema.examples, start=1)
    }


def _object(properties: Mapping[str, Any], *, more: bool = False) -> Json:
    required = [name for name in properties if name not in _SOMETIMES]
    return {
        "type": "object",
        "required": required,
        "properties": dict(properties),
        "additionalProperties": more,
    }


def _answer(schema: Json, description: str = "Answered") -> Json:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _add_errors(operation: Json, statuses: tuple[str, ...]) -> None:
    for status in statuses:
        operation["responses"][status] = {
            "description": _ERRORS[status],
            "content": {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }


def _single(patient: Json, examples: Json) -> Json:
    operation: Json = {
        "tags": ["predictions"],
        "summary": "Predict for one patient",
        "operationId": "predict",
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": patient, "examples": examples}},
        },
        "responses": {"200": _answer(_object(_MODEL | _PREDICTION))},
    }
    _add_errors(operation, _BODY)
    return operation


def _add_batch(operation: Json, patient: Json, examples: Json, max_rows: int) -> None:
    operation["requestBody"] = {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"type": "array", "minItems": 1, "maxItems": max_rows, "items": patient},
                "examples": {"All examples": {"value": [example["value"] for example in examples.values()]}},
            },
            "text/csv": {
                "schema": {
                    "type": "string",
                    "description": "The first line names the fields; columns that no model takes "
                    "(encounter_id, patient_nbr, weight, readmitted) are ignored.",
                }
            },
        },
    }
    answer = _object(
        _MODEL
        | {
            "count": {"type": "integer"},
            "predictions": {"type": "array", "items": _object(_PREDICTION)},
        }
    )
    operation["responses"] = {
        "200": {
            "description": "Answered, in order; a bad line of a CSV file says so in its own line",
            "content": {"application/json": {"schema": answer}, "text/csv": {"schema": {"type": "string"}}},
        }
    }
    _add_errors(operation, _BODY)


def _add_explanation(operation: Json, patient: Json, examples: Json) -> None:
    operation["requestBody"] = {
        "required": True,
        "content": {"application/json": {"schema": patient, "examples": examples}},
    }
    contribution = _object(
        {
            "field": {"type": "string"},
            "contribution": {"type": "number"},
            "standard_error": {"type": "number"},
            "value_is_reference": {"type": "boolean"},
        }
    )
    operation["responses"] = {
        "200": _answer(
            _object(
                _MODEL
                | _PREDICTION
                | {
                    "reference_probability": {"type": "number"},
                    "contributions": {"type": "array", "items": contribution},
                    "samples": {"type": "integer"},
                    "seed": {"type": "integer"},
                }
            )
        )
    }
    _add_errors(operation, _BODY)


def _add_outcomes(operation: Json) -> None:
    outcome: Json = {
        "type": "object",
        "additionalProperties": False,
        "required": ["request_id", "readmitted"],
        "properties": {
            "request_id": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
            "readmitted": {
                "type": ["boolean", "null"],
                "description": "Within 30 days; null while it is not known. A later outcome corrects it.",
            },
            "number": {"type": "integer", "minimum": 0, "maximum": 2**31 - 1, "default": 0},
        },
    }
    operation["requestBody"] = {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"anyOf": [outcome, {"type": "array", "minItems": 1, "items": outcome}]}
            }
        },
    }
    operation["responses"] = {
        "200": _answer(
            _object(
                {
                    "recorded": {"type": "integer", "description": "Known outcomes that are in the log now"},
                    "unknown": {
                        "type": "array",
                        "items": {"type": "string"},
                        "description": "Request ids of the outcomes that belong to no prediction",
                    },
                    "outcomes": {
                        "type": "array",
                        "description": "What happened to each outcome, in the order of the request",
                        "items": _object(
                            {
                                "request_id": {"type": "string"},
                                "number": {"type": "integer"},
                                "status": {"enum": list(get_args(Status))},
                            }
                        ),
                    },
                }
            )
        )
    }
    _add_errors(operation, (*_BODY, "501"))


_PROBLEM: Final[Json] = {
    "type": "object",
    "required": ["title", "status", "detail", "code", "message", "request_id", "problems"],
    "properties": {
        "title": {"type": "string", "description": "The status in words"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "One sentence about what to do"},
        "code": {"type": "string", "description": "A stable word"},
        "message": {"type": "string", "description": "The same as detail", "deprecated": True},
        "request_id": {"type": "string"},
        "problems": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["code", "message"],
                "properties": {
                    "row": {"type": "integer", "description": "The patient's index in a list"},
                    "field": {"type": "string"},
                    "code": {"type": "string"},
                    "message": {"type": "string"},
                    "given": {"type": "string", "description": "The JSON type of the received value"},
                    "allowed": {"description": "The levels, the range or the pattern"},
                },
            },
        },
    },
}
