"""JSON answers of the routes that are not in a hurry."""

from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import Response


def json_response(value: Any, status: int = HTTPStatus.OK) -> Response:  # noqa: ANN401 - JSON is anything
    """Write a value as JSON."""
    return Response(msgspec.json.encode(value), status, media_type="application/json")
