"""A data set on this machine: a csv, or a zip that holds one."""

import os
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final, Literal, cast

from readmission_data.errors import DatasetError

Kind = Literal["uci", "own", "synthetic"]
"""The public data set, a hospital's own data, or the sample that this package generates."""

CSV_NAME: Final = "diabetic_data.csv"
"""What UCI's archive calls the encounters; the other file in it, `IDS_mapping.csv`, only names codes."""

_ZIP_SIGNATURES = (b"PK\x03\x04", b"PK\x05\x06")
_ENCRYPTED = 0x1


@dataclass(frozen=True, slots=True)
class DatasetFile:
    """A data set whose content has been read once from end to end.

    `sha256` is that of the CSV's bytes, whether or not a zip is around them. `size` and `modified_ns` are
    the file's own at that time, so that a file which changes later is noticed.
    """

    path: Path
    kind: Kind
    sha256: str
    size: int
    modified_ns: int

    @property
    def synthetic(self) -> bool:
        """Whether the encounters were made up by this package."""
        return self.kind == "synthetic"

    def open_csv(self) -> BinaryIO:
        """Open the CSV's bytes, as they are (byte order mark and line ends included), for streaming.

        Raises `DatasetError` where the file is gone or is no longer the one that was read.
        """
        state = status(self.path)
        if (state.st_size, state.st_mtime_ns) != (self.size, self.modified_ns):
            raise DatasetError(f"{self.path} has changed since it was checked; start again")
        return open_csv(self.path)


def status(path: Path) -> os.stat_result:
    """Return the state of a regular file; raises `DatasetError` where `path` is none."""
    try:
        state = path.stat()
    except FileNotFoundError:
        raise DatasetError(f"{path} does not exist") from None
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}") from error
    if path.is_dir():
        raise DatasetError(f"{path} is a folder; name the zip or csv in it")
    if not path.is_file():
        raise DatasetError(f"{path} is not a regular file")
    return state


def open_csv(path: Path) -> BinaryIO:
    """Open the CSV's bytes in a csv or in a zip; raises `DatasetError` where there are none."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}") from error
    signature = file.read(4)
    file.seek(0)
    if signature not in _ZIP_SIGNATURES:
        return file
    file.close()
    return _open_member(path)


def _open_member(path: Path) -> BinaryIO:
    try:
        # The member keeps the archive's file open until it is itself closed.
        with zipfile.ZipFile(path) as archive:
            member = _csv_member(path, archive)
            if member.flag_bits & _ENCRYPTED:
                raise DatasetError(f"{path}: {member.filename} is encrypted; unpack it first")
            return cast("BinaryIO", archive.open(member))
    except zipfile.BadZipFile as error:
        raise DatasetError(f"{path} is a broken or truncated zip: {error}") from error
    except NotImplementedError as error:
        raise DatasetError(f"{path} is packed in a way that cannot be read: {error}") from error


def _csv_member(path: Path, archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    members = [
        member
        for member in archive.infolist()
        if not member.is_dir()
        and member.filename.lower().endswith(".csv")
        and not member.filename.startswith("__MACOSX/")
    ]
    named = [member for member in members if PurePosixPath(member.filename).name.lower() == CSV_NAME]
    if len(named) == 1:
        return named[0]
    if len(members) == 1 and PurePosixPath(members[0].filename).name != "IDS_mapping.csv":
        return members[0]
    held = ", ".join(member.filename for member in archive.infolist()[:5]) or "nothing"
    raise DatasetError(f"{path} does not hold one {CSV_NAME}; it holds {held}")
