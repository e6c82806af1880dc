"""A data set on this machine: a csv, or a zip that contains one."""

import os
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final, Literal, cast

from readmission_data.errors import DatasetError

Kind = Literal["uci", "own", "synthetic"]
"""The public data set, a hospital's own data, or the sample that this package generates."""

CSV_NAME: Final = "diabetic_data.csv"
"""The encounters' file in UCI's archive; the other file there, `IDS_mapping.csv`, only explains codes."""

_ZIP_SIGNATURES = (b"PK\x03\x04", b"PK\x05\x06")
_ENCRYPTED = 0x1


@dataclass(frozen=True, slots=True)
class DatasetFile:
    """A data set that has been read completely once.

    `sha256` is the checksum of the CSV's bytes, whether or not they are in a zip. `size` and `modified_ns`
    are the file's at that time, so that a later change is detected.
    """

    path: Path
    kind: Kind
    sha256: str
    size: int
    modified_ns: int

    @property
    def synthetic(self) -> bool:
        """Whether this package generated the encounters."""
        return self.kind == "synthetic"

    def open_csv(self) -> BinaryIO:
        """Open the CSV's bytes for streaming, unchanged (including byte order mark and line ends).

        Raise `DatasetError` if the file no longer exists or has changed since it was read.
        """
        state = status(self.path)
        if (state.st_size, state.st_mtime_ns) != (self.size, self.modified_ns):
            raise DatasetError(f"{self.path} has changed since it was checked; start again")
        return open_csv(self.path)


def status(path: Path) -> os.stat_result:
    """Return the state of a regular file. Raise `DatasetError` if `path` is not one."""
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
    """Open the CSV's bytes in a csv or in a zip. Raise `DatasetError` if there are none."""
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
        # The member keeps the archive's file open until the member is closed.
        with zipfile.ZipFile(path) as archive:
            member = _csv_member(path, archive)
            if member.flag_bits & _ENCRYPTED:
                raise DatasetError(f"{path}: {member.filename} is encrypted; unpack it first")
            return cast("BinaryIO", archive.open(member))
    except zipfile.BadZipFile as error:
        raise DatasetError(f"{path} is a broken or truncated zip: {error}") from error
    except NotImplementedError as error:
        raise DatasetError(f"{path} uses an unsupported compression: {error}") from error


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
