"""Verified versions on disk, so that a restart does not need the registry."""

import os
import shutil
import time
from pathlib import Path
from typing import Final

import msgspec

from readmission_api.errors import ModelRefusedError, ReadmissionApiError
from readmission_api.model_store.verification import verify_manifest
from readmission_api.predictor.predictor import ModelVersion

_KEPT: Final = 4
_RECORD: Final = "production.json"
_LONGEST_DOWNLOAD_SECONDS: Final = 3_600.0


class DiskCopy:
    """Folder of versions by the hash of their manifest, and the record of which one served last."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._versions = folder / "versions"

    def prepare(self) -> Path:
        """Create the folder for a download. Raise `ReadmissionApiError` if that fails."""
        try:
            self._versions.mkdir(parents=True, exist_ok=True)
            self._remove_killed()
        except OSError as error:
            raise ReadmissionApiError(f"the state folder can't be written: {error.strerror}") from error
        return self._versions

    def find(self, manifest_sha256: str) -> Path | None:
        """Return the folder of a version if all its files are still correct, otherwise None."""
        folder = self._versions / manifest_sha256
        if not folder.is_dir():
            return None
        try:
            verify_manifest(folder, manifest_sha256)
        except ModelRefusedError as error:
            # A file that cannot be read now may still be correct.
            if error.reason == "hash":
                shutil.rmtree(folder, ignore_errors=True)
            return None
        return folder

    def folder_of(self, version: ModelVersion) -> Path:
        """Return the folder of a version's files, whether or not it exists."""
        return self._versions / version.manifest_sha256

    def keep(self, files: Path, manifest_sha256: str) -> Path:
        """Move a verified version to its folder atomically; another worker may have been faster."""
        folder = self._versions / manifest_sha256
        if self.find(manifest_sha256) is None:
            shutil.rmtree(folder, ignore_errors=True)
            files.rename(folder)
        return folder

    def record(self, version: ModelVersion) -> None:
        """Record atomically which version serves, then remove all but the latest few."""
        record = self._folder / f".{_RECORD}.{os.getpid()}"
        with record.open("wb") as file:
            file.write(msgspec.json.encode(version))
            file.flush()
            os.fsync(file.fileno())
        record.replace(self._folder / _RECORD)
        os.utime(self._versions / version.manifest_sha256)
        self._forget()

    def changed(self) -> int:
        """Return a number that changes with each record."""
        try:
            return (self._folder / _RECORD).stat().st_mtime_ns
        except OSError:
            return 0

    def recorded(self, model: str, alias: str) -> tuple[ModelVersion, Path] | None:
        """Return the version that last served as this alias and its verified files, or None."""
        try:
            version = msgspec.json.decode((self._folder / _RECORD).read_bytes(), type=ModelVersion)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return None
        if (version.model, version.alias) != (model, alias):
            return None
        folder = self.find(version.manifest_sha256)
        return (version, folder) if folder else None

    def _remove_killed(self) -> None:
        """Remove the remains of killed downloads; running downloads, also of other workers, are younger."""
        for path in self._versions.glob("incoming-*"):
            if time.time() - path.stat().st_mtime > _LONGEST_DOWNLOAD_SECONDS:
                shutil.rmtree(path, ignore_errors=True)

    def _forget(self) -> None:
        kept = [path for path in self._versions.iterdir() if not path.name.startswith("incoming-")]
        kept.sort(key=lambda path: path.stat().st_mtime, reverse=True)
        for path in kept[_KEPT:]:
            shutil.rmtree(path, ignore_errors=True)
