"""Find the data set in the setting, the usual folders or at UCI, or generate a sample."""

import hashlib
import logging
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import unquote, urlsplit

from readmission_data.dataset import synthetic
from readmission_data.dataset.download import fetch, redacted
from readmission_data.dataset.file import DatasetFile
from readmission_data.dataset.inspection import UCI_SHA256, inspect
from readmission_data.errors import DatasetError
from readmission_data.settings import DataSettings

UCI_URL: Final = (
    "https://archive.ics.uci.edu/static/public/296/diabetes+130-us+hospitals+for+years+1999-2008.zip"
)
ARCHIVE_NAME: Final = "diabetes-130-us-hospitals.zip"
FILE_NAMES: Final = (
    ARCHIVE_NAME,
    "diabetes-130-us-hospitals.csv",
    "diabetic_data.csv",
    "diabetic_data.zip",
    # The name under which UCI's page saves it.
    PurePosixPath(UCI_URL).name,
)
"""The file names to look for in a folder, in this order."""

CHECKOUT: Final = Path(__file__).resolve().parents[4]
"""The folder that contains `server1-data`, if the package runs from a checkout."""

log = logging.getLogger(__name__)


def find(settings: DataSettings, *, checkout: Path = CHECKOUT, uci_url: str = UCI_URL) -> DatasetFile:
    """Return the data set to load, completely checked.

    The order is: the setting `dataset`, `data/` in the checkout, `../shared/data/` next to it, UCI's address,
    and the synthetic sample if `allow_synthetic` is set. The first one found counts: if it is broken, that is
    an error, and no other one is used instead.

    Only a file that the setting names may be a hospital's own data. A file that is found by its name, or
    comes from UCI, must be the public data set (or a generated sample, which identifies itself): otherwise a
    damaged copy could pass for somebody's own data. The setting `dataset_sha256` pins the content of any
    file.

    Raise `DatasetError` with what is wrong, or with everything that was tried.
    """
    if settings.dataset:
        return _named(settings, settings.dataset, uci_url)
    tried = []
    for folder in (checkout / "data", checkout.parent / "shared" / "data"):
        path = _in_folder(folder)
        if path is not None:
            return _accept(inspect(path, settings.cache_dir), settings, own=False)
        tried.append(f"no {ARCHIVE_NAME} in {folder}")
    try:
        return _from_uci(settings, uci_url)
    except DatasetError as error:
        tried.append(str(error))
    if settings.allow_synthetic and not settings.dataset_sha256:
        log.warning("No real data set found (%s); using a SYNTHETIC sample", "; ".join(tried))
        return inspect(synthetic.sample(settings.cache_dir), settings.cache_dir)
    raise DatasetError(f"no data set found: {'; '.join(tried)}; set READMISSION_DATASET to a zip or csv")


def _named(settings: DataSettings, name: str, uci_url: str) -> DatasetFile:
    if "://" not in name:
        return _accept(inspect(Path(name).expanduser(), settings.cache_dir), settings, own=True)
    parts = urlsplit(name)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise DatasetError("READMISSION_DATASET is neither a path nor a full http or https address")
    if name == uci_url:
        return _from_uci(settings, uci_url)
    # Different addresses may end in the same file name.
    file_name = Path(unquote(parts.path)).name or "dataset"
    target = settings.cache_dir / f"{hashlib.sha256(name.encode()).hexdigest()[:12]}-{file_name[-80:]}"
    fetch(name, target, lambda part: _checked_download(part, name, settings, own=True))
    return _accept(inspect(target, settings.cache_dir), settings, own=True)


def _from_uci(settings: DataSettings, uci_url: str) -> DatasetFile:
    target = settings.cache_dir / ARCHIVE_NAME
    if target.exists():
        try:
            return _accept(inspect(target, settings.cache_dir), settings, own=False)
        except DatasetError as error:
            log.warning("downloading %s again: %s", target, error)
            target.unlink()
    fetch(uci_url, target, lambda part: _checked_download(part, uci_url, settings, own=False))
    return inspect(target, settings.cache_dir)


def _checked_download(part: Path, url: str, settings: DataSettings, *, own: bool) -> None:
    try:
        _accept(inspect(part, settings.cache_dir), settings, own=own)
    except DatasetError as error:
        # The temporary file means nothing to the reader; the address does.
        raise DatasetError(str(error).replace(str(part.absolute()), redacted(url))) from error


def _in_folder(folder: Path) -> Path | None:
    try:
        names = {entry.name for entry in folder.iterdir()}
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise DatasetError(f"{folder} cannot be read: {error.strerror}") from error
    return next((folder / name for name in FILE_NAMES if name in names), None)


def _accept(file: DatasetFile, settings: DataSettings, *, own: bool) -> DatasetFile:
    wanted = settings.dataset_sha256
    if wanted and file.sha256 != wanted:
        raise DatasetError(
            f"{file.path}: the CSV's SHA-256 is {file.sha256}, but READMISSION_DATASET_SHA256 is {wanted}"
        )
    if file.kind == "own" and not own and not wanted:
        raise DatasetError(
            f"{file.path} is damaged or is not the public data set: the CSV's SHA-256 is {file.sha256},"
            f" but must be {UCI_SHA256}; name your own data with READMISSION_DATASET"
        )
    if file.kind == "own":
        log.warning("%s is not the public data set: treating it as your own data", file.path)
    return file
