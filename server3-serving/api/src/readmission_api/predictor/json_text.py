"""JSON read by the letter of RFC 8259: no NaN, no key twice, no bytes that are not UTF-8."""

import json
from typing import Any, Final

from readmission_api.errors import BadEncodingError, BadJsonError

KINDS: Final = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    type(None): "null",
    list: "array",
    dict: "object",
}


class JsonObject(dict[str, Any]):
    """An object that remembers which of its keys came more than once."""

    repeated: tuple[str, ...] = ()


def kind(value: object) -> str:
    """Name a parsed value's JSON kind."""
    if isinstance(value, dict):
        return "object"
    return KINDS.get(type(value), "value")


def parse(body: bytes) -> Any:  # noqa: ANN401 - JSON is anything
    """Parse a body; raises `BadEncodingError` or `BadJsonError`, whose messages hold nothing of it."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadEncodingError(f"the body is not UTF-8: byte {error.start} can't be read") from None
    if text.startswith("\ufeff"):
        raise BadJsonError("the body starts with a byte order mark; send JSON without one")
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise BadJsonError(
            f"the body is not JSON: line {error.lineno}, column {error.colno} can't be read"
        ) from None
    except RecursionError:
        raise BadJsonError("the body is nested too deeply") from None
    except _ConstantError as error:
        raise BadJsonError(f"the body is not JSON: {error} is no number there") from None
    except ValueError:  # Python's limit on the digits of an integer
        raise BadJsonError("the body holds a number that is too long") from None


class _ConstantError(Exception):
    pass


def _constant(name: str) -> float:
    raise _ConstantError(name)


def _object(pairs: list[tuple[str, Any]]) -> JsonObject:
    result = JsonObject(pairs)
    if len(result) != len(pairs):
        names = [name for name, _ in pairs]
        result.repeated = tuple(sorted({name for name in names if names.count(name) > 1}))
    return result


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant)
