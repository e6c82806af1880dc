"""The shared copy of the serving version, for pods that cannot reach the registry."""

from pathlib import Path
from typing import Final
from urllib.parse import quote

import msgspec

from readmission_api.errors import ModelRefusedError
from readmission_api.model_store.verification import MANIFEST, verify_manifest
from readmission_api.predictor.predictor import ModelVersion, read_file
from readmission_api.shared_files import SharedFiles

_VERSIONS: Final = "models/versions"
_RECORDS: Final = "models/serving"
_KEPT: Final = 4


class SharedCopy:
    """Verified versions by the hash of their manifest, and the record of which one serves."""

    def __init__(self, files: SharedFiles) -> None:
        self._files = files

    def publish(self, version: ModelVersion, folder: Path) -> None:
        """Copy the serving version unless it is there already, then record that it serves.

        Raise `SharedFilesError`, or `ModelRefusedError` if the folder has changed since it was verified.
        """
        record = _record(version.model, version.alias)
        wanted = msgspec.json.encode(version)
        if self._files.get(record) == wanted:
            return
        there = {entry.name for entry in self._files.list(_VERSIONS)}
        if version.manifest_sha256 not in there:
            names = verify_manifest(folder, version.manifest_sha256)
            # The manifest last: a copy without one is not complete.
            for name in (*names, MANIFEST):
                self._files.put(_file(version, name), read_file(folder, name))
        previous = self._read(record)
        self._files.put(record, wanted)
        kept = {version.manifest_sha256, *([previous.manifest_sha256] if previous else [])}
        for name in sorted(there - kept)[: max(0, len(there) - _KEPT)]:
            self._files.delete(f"{_VERSIONS}/{quote(name, safe='')}/")

    def recorded(self, model: str, alias: str) -> ModelVersion | None:
        """Return the version that last served as this alias, or None.

        Raise `SharedFilesError` if it cannot be read.
        """
        version = self._read(_record(model, alias))
        if version is None or (version.model, version.alias) != (model, alias):
            return None
        return version

    def fetch(self, version: ModelVersion, into: Path) -> None:
        """Copy a version's files into the empty folder `into`.

        The caller verifies the files. Raise `SharedFilesError`, or `ModelRefusedError` if the copy is
        incomplete or not this version.
        """
        self._copy(version, MANIFEST, into)
        try:
            names = msgspec.json.decode((into / MANIFEST).read_bytes(), type=dict[str, str])
        except msgspec.DecodeError as error:
            raise ModelRefusedError("files", f"the shared {MANIFEST} is not a list of files") from error
        for name in names:
            if name != Path(name).name:
                raise ModelRefusedError("files", f"the shared {MANIFEST} names a file outside of the version")
            self._copy(version, name, into)

    def _copy(self, version: ModelVersion, name: str, into: Path) -> None:
        content = self._files.get(_file(version, name))
        if content is None:
            raise ModelRefusedError("files", f"the shared copy has no {name}")
        (into / name).write_bytes(content)

    def _read(self, record: str) -> ModelVersion | None:
        content = self._files.get(record)
        if content is None:
            return None
        try:
            return msgspec.json.decode(content, type=ModelVersion)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None


def _record(model: str, alias: str) -> str:
    return f"{_RECORDS}/{quote(model, safe='')}--{quote(alias, safe='')}.json"


def _file(version: ModelVersion, name: str) -> str:
    return f"{_VERSIONS}/{version.manifest_sha256}/{quote(name, safe='')}"
