"""JSON, strictly as defined by RFC 8259: no NaN, no repeated key, nothing but UTF-8."""

import json
from collections import Counter
from typing import Any, Final

import msgspec

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


_LONGEST_EXPLAINED: Final = 64 * 1024
"""The longest body that is parsed a second time to locate the error."""


class JsonObject(dict[str, Any]):
    """An object that remembers which of its keys were repeated."""

    repeated: tuple[str, ...] = ()


def kind(value: object) -> str:
    """Return the name of a parsed value's JSON type."""
    if isinstance(value, dict):
        return "object"
    return KINDS.get(type(value), "value")


def parse(body: bytes) -> Any:  # noqa: ANN401 - JSON is anything
    """Parse a body; raise `BadEncodingError` or `BadJsonError`, whose messages quote nothing of it."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadEncodingError(f"the body is not UTF-8: byte {error.start} can't be read") from None
    if text.startswith("\ufeff"):
        raise BadJsonError("the body starts with a byte order mark; send JSON without one")
    try:
        value = _DECODER.decode(text)
        if "\\u" in text:
            # An escape may be half of a surrogate pair, which is not a character and not valid in UTF-8.
            json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise BadJsonError(
            f"the body is not JSON: line {error.lineno}, column {error.colno} can't be read"
        ) from None
    except RecursionError:
        raise BadJsonError("the body is nested too deeply") from None
    except UnicodeEncodeError:
        raise BadJsonError("the body contains an escaped surrogate without its other half") from None
    except ValueError:  # Python's limit on the digits of an integer
        raise BadJsonError("the body contains a number that is too long") from None
    return value


def split(body: bytes) -> list[msgspec.Raw] | None:
    """Return the texts of the items of a JSON list: None if the body is another JSON value.

    This takes little time, proportional to the body, because no item is parsed yet. Raise `BadEncodingError`
    or `BadJsonError`.
    """
    try:
        return msgspec.json.decode(body, type=list[msgspec.Raw])
    except msgspec.ValidationError:
        if len(body) <= _LONGEST_EXPLAINED:
            parse(body)
        return None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        if len(body) <= _LONGEST_EXPLAINED:
            parse(body)
        raise BadJsonError("the body is not JSON") from None


def _constant(name: str) -> float:
    raise BadJsonError(f"the body is not JSON: {name} is not a JSON number")


def _object(pairs: list[tuple[str, Any]]) -> JsonObject:
    result = JsonObject(pairs)
    if len(result) != len(pairs):
        times = Counter(name for name, _ in pairs)
        result.repeated = tuple(sorted(name for name, count in times.items() if count > 1))
    return result


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant)
