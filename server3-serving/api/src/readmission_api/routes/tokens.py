"""The bearer tokens that guard routes."""

import hmac
from http import HTTPStatus

from fastapi import Request
from pydantic import SecretStr

from readmission_api.errors import RefusedError


def require_token(token: SecretStr | None, request: Request) -> None:
    """Refuse a request without the right bearer token, if one is set. The scheme's case does not matter."""
    if token is None:
        return
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    right = hmac.compare_digest(given.strip().encode("latin-1"), token.get_secret_value().encode())
    if not (right and scheme.lower() == "bearer"):
        raise RefusedError(
            HTTPStatus.UNAUTHORIZED,
            "unauthorized",
            "Send the header Authorization: Bearer with the token of this server.",
            headers=(("www-authenticate", "Bearer"),),
        )
