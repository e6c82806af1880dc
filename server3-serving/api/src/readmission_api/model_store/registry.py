"""The parts of the MLflow registry that serving needs: from an alias to a version, and to its files."""

import os
import re
from pathlib import Path
from typing import Final

import mlflow.artifacts
import msgspec
import requests
from mlflow import MlflowClient, MlflowException

from readmission_api.errors import ModelRefusedError, ReadmissionApiError, RegistryUnreachableError
from readmission_api.model_store.verification import MANIFEST
from readmission_api.predictor.predictor import ModelVersion

MANIFEST_TAG: Final = "manifest_sha256"
PIN_TAG: Final = "pin"
"""Tag of the registered model: a pin as a JSON object. No tag, no pin."""

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_DENIED: Final = "PERMISSION_DENIED"
_REFUSED: Final = {_DENIED, "UNAUTHENTICATED"}
_NOT_THERE: Final = {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}


class Pin(msgspec.Struct, frozen=True):
    """A version that no training may replace until it is released: by whom, why, and since when (UTC)."""

    version: str
    by: str
    reason: str
    at: str


class Registry:
    """One registered model in one tracking server."""

    def __init__(self, tracking_uri: str, model_name: str, *, timeout_seconds: int) -> None:
        # MLflow reads these at each call. Its default of seven retries would block a reload for minutes; the
        # reload loop tries again anyway.
        os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = str(timeout_seconds)
        os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "1"
        os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
        self.model_name = model_name
        self._tracking_uri = tracking_uri
        self._client = MlflowClient(tracking_uri, tracking_uri)

    def resolve(self, alias: str) -> ModelVersion | None:
        """Return the version that an alias points to now, or None.

        Raise `RegistryUnreachableError`, or `ModelRefusedError` for a version without a manifest.
        """
        try:
            found = self._client.get_model_version_by_alias(self.model_name, alias)
        except MlflowException as error:
            if error.error_code in _NOT_THERE or (error.error_code == _DENIED and not self._is_registered()):
                return None
            raise RegistryUnreachableError(_one_line(error)) from error
        except (requests.RequestException, OSError) as error:
            raise RegistryUnreachableError(_one_line(error)) from error
        manifest = found.tags.get(MANIFEST_TAG)
        if manifest is None:
            raise ModelRefusedError("manifest", f"version {found.version} has no tag {MANIFEST_TAG}")
        # The hash becomes the name of a folder.
        if not _SHA256.fullmatch(manifest):
            raise ModelRefusedError(
                "manifest", f"the tag {MANIFEST_TAG} of version {found.version} is not a hash"
            )
        return ModelVersion(self.model_name, str(found.version), alias, manifest, found.run_id)

    def pin(self) -> Pin | None:
        """Return the pin of the registered model.

        Raise `RegistryUnreachableError`, and `ReadmissionApiError` if the tag is not a pin.
        """
        try:
            noted = self._client.get_registered_model(self.model_name).tags.get(PIN_TAG)
        except MlflowException as error:
            if error.error_code in _NOT_THERE:
                return None
            raise RegistryUnreachableError(_one_line(error)) from error
        except (requests.RequestException, OSError) as error:
            raise RegistryUnreachableError(_one_line(error)) from error
        if not noted:
            return None
        try:
            return msgspec.json.decode(noted, type=Pin)
        except msgspec.DecodeError:
            raise ReadmissionApiError(f"the tag {PIN_TAG} of {self.model_name} can't be read") from None

    def _is_registered(self) -> bool:
        """Return whether the model may exist.

        For a model that does not exist yet, MLflow denies the alias to everyone except its administrator.
        """
        try:
            self._client.get_registered_model(self.model_name)
        except MlflowException as error:
            return error.error_code not in _NOT_THERE
        except (requests.RequestException, OSError):
            return True
        return True

    def download(self, version: ModelVersion, into: Path) -> Path:
        """Copy a version's files into the empty folder `into` and return the folder that contains them.

        Raise `RegistryUnreachableError`, or `ModelRefusedError` if the version has no such files.
        """
        try:
            source = self._client.get_model_version_download_uri(version.model, version.version)
            mlflow.artifacts.download_artifacts(
                artifact_uri=source, dst_path=str(into), tracking_uri=self._tracking_uri
            )
        except MlflowException as error:
            if error.error_code in _NOT_THERE:
                raise ModelRefusedError("files", f"version {version.version} has no files") from error
            raise RegistryUnreachableError(_one_line(error)) from error
        except (requests.RequestException, OSError) as error:
            raise RegistryUnreachableError(_one_line(error)) from error
        manifests = sorted(into.rglob(MANIFEST), key=lambda path: len(path.parts))
        if not manifests:
            raise ModelRefusedError("files", f"version {version.version} has no {MANIFEST}")
        return manifests[0].parent


def _one_line(error: Exception) -> str:
    """Return an error without MLflow's long texts, which may repeat addresses with passwords."""
    status = getattr(error, "error_code", None)
    if status in _REFUSED:
        return f"the registry refuses this account: look at its name, password and rights ({status})"
    return f"the registry does not answer ({status or type(error).__name__})"
