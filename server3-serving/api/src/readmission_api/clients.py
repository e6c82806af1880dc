"""The clients of the API: who sends a request, by its bearer token, and what that client may do.

The file of clients contains the SHA-256 of each token, never a token. The API follows changes of the file, so
clients can be added and removed without a restart.
"""

import hashlib
import hmac
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Final, Literal, get_args

import msgspec
from pydantic import SecretStr

from readmission_api.errors import BadSettingError, RefusedError
from readmission_api.logs import logger

Right = Literal["predict", "outcomes", "reload"]
ALL: Final[frozenset[Right]] = frozenset(get_args(Right))
OPERATOR: Final = "operator"
"""The client that has the token of the settings."""


class Client(msgspec.Struct, frozen=True):
    """A client by its name; `None` is a client without a known token."""

    name: str | None
    may: frozenset[Right]


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: Annotated[str, msgspec.Meta(pattern=r"\A[a-z0-9-]{1,32}\Z")]
    sha256: Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
    may: frozenset[Right]


class Clients:
    """The clients of one API.

    Without a file of clients everybody may predict: the API is open. Raise `BadSettingError` if there is a
    file that cannot be used.
    """

    def __init__(self, file: Path | None, token: SecretStr | None) -> None:
        self.open = file is None
        self._file = file
        self._seen: object = None
        self._own: dict[bytes, Client] = {}
        anybody: set[Right] = set()
        if token is not None:
            self._own[_digest(token.get_secret_value().encode())] = Client(OPERATOR, ALL)
        if self.open:
            anybody = {"predict"} if token is not None else set(ALL)
        self._anonymous = Client(None, frozenset(anybody))
        self._known = dict(self._own)
        if file is not None:
            self._seen, known = _state(file), _read(file)
            self._known |= known

    def identify(self, authorization: bytes | None) -> Client:
        """Return the client that sent this `Authorization` header. The scheme's case does not matter."""
        given = _bearer(authorization)
        if given is None:
            return self._anonymous
        # Compares hashes, which nobody can choose: the time of a comparison reveals nothing about a token.
        return self._known.get(_digest(given), self._anonymous)

    def follow(self) -> None:
        """Read the file again if it changed; keep the previous clients if it cannot be used now."""
        if self._file is None:
            return
        try:
            seen = _state(self._file)
            if seen == self._seen:
                return
            known = _read(self._file)
        except BadSettingError as error:
            logger.error("%s; the clients stay as they were", error)
            return
        self._seen = seen
        self._known = self._own | known
        logger.info("clients: %s", ", ".join(sorted(str(client.name) for client in self._known.values())))


def require(client: Client, right: Right) -> None:
    """Raise `RefusedError` if the client does not have the right."""
    if right in client.may:
        return
    if client.name is None:
        raise unauthorized()
    raise RefusedError(
        HTTPStatus.FORBIDDEN, "forbidden", f"The client {client.name} does not have the right {right}."
    )


def unauthorized() -> RefusedError:
    """Return the refusal of a request without a known token."""
    return RefusedError(
        HTTPStatus.UNAUTHORIZED,
        "unauthorized",
        "Send the header Authorization: Bearer with a token of this server.",
        headers=(("www-authenticate", "Bearer"),),
    )


def is_token(token: SecretStr, authorization: bytes | None) -> bool:
    """Return whether an `Authorization` header carries this one token."""
    given = _bearer(authorization)
    return given is not None and hmac.compare_digest(given, token.get_secret_value().encode())


def _bearer(authorization: bytes | None) -> bytes | None:
    """Return the token of an `Authorization` header; `None` if the header is missing or of another scheme."""
    scheme, _, given = (authorization or b"").partition(b" ")
    return given.strip() if scheme.lower() == b"bearer" else None


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()


def _state(file: Path) -> object:
    try:
        found = file.stat()
    except OSError as error:
        raise _unreadable(file, error) from None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _unreadable(file: Path, error: OSError) -> BadSettingError:
    return BadSettingError(f"READMISSION_API_CLIENTS_FILE: cannot read {file} ({error.strerror})")


def _read(file: Path) -> dict[bytes, Client]:
    try:
        entries = msgspec.json.decode(file.read_bytes(), type=list[_Entry])
        known = {bytes.fromhex(entry.sha256): Client(entry.name, entry.may) for entry in entries}
    except OSError as error:
        raise _unreadable(file, error) from None
    except (msgspec.DecodeError, ValueError):
        # The text is not repeated: somebody may have put a token into it.
        raise BadSettingError(
            f'READMISSION_API_CLIENTS_FILE: {file} is not a list of {{"name", "sha256", "may"}}: a name has '
            f"a-z, 0-9 and -, the SHA-256 of a token 64 digits, a list of rights {', '.join(sorted(ALL))}"
        ) from None
    names = [entry.name for entry in entries]
    if len({*names, OPERATOR}) <= len(names) or len(known) < len(names):
        raise BadSettingError(
            f"READMISSION_API_CLIENTS_FILE: names and tokens in {file} must differ, and {OPERATOR} is taken"
        )
    return known
