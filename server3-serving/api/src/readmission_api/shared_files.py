"""Files that all API pods of a server share; they outlive the pod that wrote them.

The server is an nginx with WebDAV's PUT and DELETE, and with listings in JSON.
"""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import msgspec
import requests

from readmission_api.errors import SharedFilesError

_TIMEOUT: Final = (3.0, 15.0)
"""Seconds to connect, and between two parts of an answer."""


@dataclass(frozen=True)
class Entry:
    """One file of a folder; `size` in bytes, None for a folder."""

    name: str
    size: int | None = None


class SharedFiles:
    """Reads and writes whole files by their path below an address. Every method blocks.

    Each method raises `SharedFilesError` if the server does not do what was requested.
    """

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._session = requests.Session()
        # The server is in the same cluster, so a proxy from the environment must not be used.
        self._session.trust_env = False

    def put(self, path: str, content: bytes) -> None:
        """Write a file atomically: a reader sees the old or the new content."""
        self._ask("PUT", path, content)

    def get(self, path: str) -> bytes | None:
        """Return a file's content, or None if there is no such file."""
        response = self._ask("GET", path, missing_is_fine=True)
        return None if response.status_code == HTTPStatus.NOT_FOUND else response.content

    def delete(self, path: str) -> None:
        """Delete a file, or a folder if the path ends with a slash; ignore missing ones."""
        self._ask("DELETE", path, missing_is_fine=True)

    def list(self, folder: str) -> list[Entry]:
        """Return the files and folders of a folder, sorted by name; none if there is no such folder."""
        response = self._ask("GET", f"{folder}/", missing_is_fine=True)
        if response.status_code == HTTPStatus.NOT_FOUND:
            return []
        try:
            entries = msgspec.json.decode(response.content, type=list[Entry])
        except msgspec.DecodeError as error:
            raise SharedFilesError("the shared files' server returned a listing that is not JSON") from error
        return sorted(entries, key=lambda entry: entry.name)

    def _ask(
        self, method: str, path: str, content: bytes | None = None, *, missing_is_fine: bool = False
    ) -> requests.Response:
        try:
            response = self._session.request(
                method, f"{self._url}/{path}", data=content, timeout=_TIMEOUT, allow_redirects=False
            )
        except (requests.RequestException, OSError) as error:
            raise SharedFilesError(
                f"the shared files' server does not answer ({type(error).__name__})"
            ) from error
        if response.ok and not response.is_redirect:
            return response
        if missing_is_fine and response.status_code == HTTPStatus.NOT_FOUND:
            return response
        raise SharedFilesError(f"the shared files' server answered {method} with {response.status_code}")
