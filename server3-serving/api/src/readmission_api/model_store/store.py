"""The version that serves now, and how the next one replaces it."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Literal

from readmission_api.errors import (
    ModelRefusedError,
    ReadmissionApiError,
    RegistryUnreachableError,
    SharedFilesError,
)
from readmission_api.logs import logger
from readmission_api.model_store.disk_copy import DiskCopy
from readmission_api.model_store.registry import Pin, Registry
from readmission_api.model_store.shared_copy import SharedCopy
from readmission_api.model_store.verification import load, verify_manifest
from readmission_api.predictor.predictor import ModelVersion, Predictor

Result = Literal["loaded", "unchanged", "refused", "refused_before", "unset", "unreachable", "failed"]
RESULTS: Final[tuple[Result, ...]] = (
    "loaded",
    "unchanged",
    "refused",
    "refused_before",
    "unset",
    "unreachable",
    "failed",
)
_TRANSFER_REASONS: Final = {"files", "hash"}
_TRANSFER_ATTEMPTS: Final = 3


@dataclass(frozen=True)
class Serving:
    """The serving version, its origin and its start. One object, so that it is swapped atomically."""

    predictor: Predictor
    source: Literal["registry", "disk"]
    since: datetime


@dataclass(frozen=True)
class Reload:
    """The result of the last check of the alias."""

    result: Result
    at: datetime
    version: str | None = None
    error: str | None = None


class ModelStore:
    """Follows two aliases of the registry.

    `serving`, `challenger` and `pin` may be read at any time from any thread. `refresh` blocks, on the
    network and the CPU: call it outside of the event loop. `on_reload` is called after each check with its
    result.
    """

    def __init__(
        self,
        registry: Registry,
        disk: DiskCopy,
        shared: SharedCopy | None,
        *,
        alias: str,
        shadow_alias: str | None,
        on_reload: Callable[[Reload], None],
    ) -> None:
        self.serving: Serving | None = None
        self.challenger: Predictor | None = None
        self.last: Reload | None = None
        self.pin: Pin | None = None
        self._registry = registry
        self._disk = disk
        self._shared = shared
        self._published: ModelVersion | None = None
        self._publishing_failed = False
        self._alias = alias
        self._shadow_alias = shadow_alias
        self._on_reload = on_reload
        self._lock = threading.Lock()
        self._refused: dict[ModelVersion, int] = {}

    def serving_version(self) -> str | None:
        """Return the number of the serving version, if there is one."""
        return self.serving.predictor.version.version if self.serving else None

    def refresh(self, *, force: bool = False) -> Reload:
        """Check the aliases once and follow them. `force` retries a version that was refused."""
        with self._lock:
            if force:
                self._refused.clear()
            reload = self._refresh_production()
            self._publish()
            self.last = reload
            self._on_reload(reload)
            if reload.result != "unreachable":
                self._refresh_pin()
                if self._shadow_alias:
                    self._refresh_challenger(self._shadow_alias)
            return reload

    def _refresh_pin(self) -> None:
        try:
            self.pin = self._registry.pin()
        except RegistryUnreachableError as error:
            # The last one known is likelier than none.
            logger.warning("the pin can't be read: %s", error)
        except ReadmissionApiError as error:
            self.pin = None
            logger.error("%s", error)

    def _refresh_production(self) -> Reload:
        now = datetime.now(UTC)
        try:
            reload = self._follow(now)
        except ModelRefusedError as error:
            logger.error("model version refused (%s): %s", error.reason, error)
            reload = Reload("refused", now, error=str(error))
        except RegistryUnreachableError as error:
            logger.warning("%s", error)
            reload = Reload("unreachable", now, error=str(error))
        except ReadmissionApiError as error:
            logger.error("the model can't be reloaded: %s", error)
            reload = Reload("failed", now, error=str(error))
        except OSError as error:
            logger.error("the model can't be reloaded: %s", error.strerror)
            reload = Reload("failed", now, error=f"the state folder can't be written: {error.strerror}")
        if reload.result not in {"loaded", "unchanged"}:
            self._serve_recorded()
        return reload

    def _follow(self, now: datetime) -> Reload:
        version = self._registry.resolve(self._alias)
        if version is None:
            return Reload("unset", now, error=f"no version has the alias {self._alias}")
        serving = self.serving
        if serving and _same(serving.predictor.version, version):
            if serving.source == "disk":
                self.serving = Serving(serving.predictor, "registry", serving.since)
            return Reload("unchanged", now, version.version)
        if self._given_up(version):
            message = f"version {version.version} was refused before"
            return Reload("refused_before", now, version.version, message)
        predictor = self._load(version)
        self.serving = Serving(predictor, "registry", datetime.now(UTC))
        logger.info("version %s of %s serves", version.version, version.model)
        self._record(version)
        return Reload("loaded", now, version.version)

    def _refresh_challenger(self, alias: str) -> None:
        version: ModelVersion | None = None
        try:
            version = self._registry.resolve(alias)
            if version is None:
                self.challenger = None
            elif not (self.challenger and _same(self.challenger.version, version)):
                if self._given_up(version):
                    return
                self.challenger = self._load(version)
                logger.info("version %s is scored in the shadow", version.version)
        except ModelRefusedError as error:
            self.challenger = None
            logger.error("challenger refused (%s): %s", error.reason, error)
        except (ReadmissionApiError, OSError) as error:
            logger.warning("the challenger can't be loaded: %s", type(error).__name__)

    def _load(self, version: ModelVersion) -> Predictor:
        """Load a version from its copy on disk or from the registry; remember if it is refused."""
        into = self._disk.prepare()
        folder = self._disk.find(version.manifest_sha256)
        if folder is not None:
            return self._try(version, folder)
        with TemporaryDirectory(prefix="incoming-", dir=into, ignore_cleanup_errors=True) as incoming:
            files = self._registry.download(version, Path(incoming))
            predictor = self._try(version, files)
            self._disk.keep(files, version.manifest_sha256)
        return predictor

    def _try(self, version: ModelVersion, folder: Path) -> Predictor:
        try:
            predictor = load(folder, version)
        except ModelRefusedError as error:
            # A broken transfer may succeed next time; other errors will not go away.
            attempts = 1 if error.reason in _TRANSFER_REASONS else _TRANSFER_ATTEMPTS
            self._refused[version] = self._refused.get(version, 0) + attempts
            raise
        except Exception as error:  # whatever it is about the version that this code does not expect
            self._refused[version] = _TRANSFER_ATTEMPTS
            raise ModelRefusedError("unexpected", f"loading failed: {type(error).__name__}") from error
        self._refused.pop(version, None)
        return predictor

    def _given_up(self, version: ModelVersion) -> bool:
        return self._refused.get(version, 0) >= _TRANSFER_ATTEMPTS

    def _record(self, version: ModelVersion) -> None:
        try:
            self._disk.record(version)
        except OSError as error:
            # Serving continues; only a restart without the registry would miss the record.
            logger.warning("the serving version can't be recorded on disk: %s", error.strerror)

    def _publish(self) -> None:
        """Copy the serving version to the shared files, where new pods find it without the registry."""
        serving = self.serving
        if self._shared is None or serving is None or serving.source != "registry":
            return
        version = serving.predictor.version
        if self._published == version:
            return
        try:
            self._shared.publish(version, self._disk.folder_of(version))
        except (SharedFilesError, ModelRefusedError) as error:
            # Retried at the next check; only the first of consecutive failures is logged.
            if not self._publishing_failed:
                logger.warning("version %s can't be copied to the shared files: %s", version.version, error)
            self._publishing_failed = True
            return
        self._published, self._publishing_failed = version, False

    def _serve_recorded(self) -> None:
        """Serve the last version if nothing serves yet."""
        if self.serving is not None:
            return
        model = self._registry.model_name
        recorded = self._disk.recorded(model, self._alias) or self._fetch_shared(model)
        if recorded is None:
            return
        version, folder = recorded
        try:
            self.serving = Serving(load(folder, version), "disk", datetime.now(UTC))
        except ModelRefusedError as error:
            logger.error("the copy on disk is refused: %s", error)
            return
        logger.warning("version %s serves from its copy on disk", version.version)

    def _fetch_shared(self, model: str) -> tuple[ModelVersion, Path] | None:
        """Copy the version that other pods serve to this disk; return None if there is no valid one."""
        if self._shared is None:
            return None
        try:
            version = self._shared.recorded(model, self._alias)
            if version is None:
                return None
            folder = self._disk.find(version.manifest_sha256)
            if folder is None:
                into = self._disk.prepare()
                with TemporaryDirectory(prefix="incoming-", dir=into, ignore_cleanup_errors=True) as incoming:
                    files = Path(incoming) / "version"
                    files.mkdir()
                    self._shared.fetch(version, files)
                    verify_manifest(files, version.manifest_sha256)
                    folder = self._disk.keep(files, version.manifest_sha256)
            self._record(version)
        except (ReadmissionApiError, OSError) as error:
            logger.warning("the shared copy of the model can't be used: %s", error)
            return None
        return version, folder


def _same(one: ModelVersion, other: ModelVersion) -> bool:
    return (one.version, one.manifest_sha256) == (other.version, other.manifest_sha256)
