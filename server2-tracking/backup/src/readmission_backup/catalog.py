"""The backups in the store. A backup is valid if its manifest, written last, and all its objects exist.

PREFIX/KIND/NAME/manifest.json      one backup, signed; NAME is its time in UTC, 20261121T013700Z
PREFIX/mysql/NAME/dump.sql.gz.age   a dump of all databases
PREFIX/artifacts/objects/HASH       the artifacts, once each, shared by all backups that hold them

Everything but the manifests is encrypted. HASH is keyed: the store cannot tell whether it holds a known file.
"""

import json
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Final, Literal, Self

from minio import Minio
from pyrage.x25519 import Identity

from readmission_backup.encryption import decrypted
from readmission_backup.errors import BackupError, BrokenBackupError, ForgedBackupError
from readmission_backup.signatures import checked_text, signed, unsigned
from readmission_backup.store import checked, chunks, sizes

Kind = Literal["mysql", "artifacts"]
KINDS: Final[tuple[Kind, ...]] = ("mysql", "artifacts")
_MANIFEST: Final = "manifest.json"
_FORMAT: Final = 2
_TIME: Final = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of a backup: its original name; its object, with the size and hash of the encrypted bytes."""

    name: str
    object: str
    size: int
    sha256: str
    etag: str = ""


@dataclass(frozen=True, slots=True)
class Manifest:
    """One complete backup."""

    prefix: str
    kind: Kind
    name: str
    recipient: str
    entries: tuple[Entry, ...]
    databases: tuple[str, ...] = ()
    format: int = _FORMAT

    @property
    def made(self) -> datetime:
        """Return the start time, in UTC."""
        return datetime.strptime(self.name, _TIME).replace(tzinfo=UTC)

    @classmethod
    def parse(cls, text: bytes) -> Self:
        """Read a manifest; raise `BrokenBackupError`."""
        try:
            data = json.loads(text)
            if data.pop("format") != _FORMAT:
                raise BrokenBackupError("the backup was written by another version of this program")
            entries = tuple(Entry(**entry) for entry in data.pop("entries"))
            found = cls(entries=entries, databases=tuple(data.pop("databases")), **data)
            if not all(re.fullmatch(r"\w+", name) for name in found.databases):
                raise BrokenBackupError("the manifest of a backup contains an invalid database name")
            datetime.strptime(found.name, _TIME).replace(tzinfo=UTC)
        except (ValueError, KeyError, TypeError) as error:
            raise BrokenBackupError("the manifest of a backup cannot be read; take another backup") from error
        return found


def name_of(moment: datetime) -> str:
    """Return the name of a backup that starts at `moment`, in UTC."""
    return moment.strftime(_TIME)


@dataclass(frozen=True, slots=True)
class Catalog:
    """The backups of one kind of one server."""

    client: Minio
    bucket: str
    prefix: str
    kind: Kind
    keys: tuple[bytes, ...]

    @property
    def folder(self) -> str:
        """Return the prefix of their objects."""
        return f"{self.prefix}/{self.kind}/"

    def place(self, name: str, file: str) -> str:
        """Return the object of a file of the backup `name`."""
        return f"{self.folder}{name}/{file}"

    def new_name(self) -> str:
        """Return the name of a backup that starts now; wait a second if that name is taken."""
        taken = self.names()
        while (name := name_of(datetime.now(UTC))) in taken:
            time.sleep(0.1)
        return name

    def publish(self, manifest: Manifest) -> None:
        """Write the manifest, which makes the backup valid. An object appears completely or not at all."""
        text = signed(json.dumps(asdict(manifest), indent=1).encode(), self.keys)
        target = self.place(manifest.name, _MANIFEST)
        self.client.put_object(self.bucket, target, BytesIO(text), len(text), "text/plain")

    def names(self) -> list[str]:
        """Return the backups that have a manifest, the newest first."""
        found = (name.removeprefix(self.folder) for name in sizes(self.client, self.bucket, self.folder))
        return sorted((name.split("/")[0] for name in found if name.endswith(f"/{_MANIFEST}")), reverse=True)

    def read(self, name: str) -> Manifest:
        """Return a manifest; raise `ForgedBackupError` if this server did not write it as this backup."""
        manifest = Manifest.parse(checked_text(self._text(name), self.keys, name))
        if (manifest.prefix, manifest.kind, manifest.name) != (self.prefix, self.kind, name):
            written = f"{manifest.prefix}/{manifest.kind}/{manifest.name}"
            raise ForgedBackupError(f"the backup {name} is a copy of {written} under another name")
        return manifest

    def _text(self, name: str) -> bytes:
        return b"".join(chunks(self.client, self.bucket, self.place(name, _MANIFEST)))

    def whole(self) -> Iterator[Manifest]:
        """Yield the backups whose objects all exist with the right size, the newest first."""
        there = sizes(self.client, self.bucket, self.folder)
        for name in self.names():
            try:
                manifest = self.read(name)
            except BrokenBackupError:
                continue
            if all(there.get(entry.object) == entry.size for entry in manifest.entries):
                yield manifest

    def find(self, name: str) -> Manifest:
        """Return the backup `name`, or the newest complete one for `latest`; raise `BackupError`."""
        if name == "latest":
            newest = next(self.whole(), None)
            if newest is None:
                raise BackupError(f"no complete backup in {self.bucket}/{self.folder}")
            return newest
        if name not in self.names():
            raise BackupError(f"no backup {name} in {self.bucket}/{self.folder}; `list` shows all")
        return self.read(name)

    def content(self, entry: Entry, identities: Sequence[Identity]) -> Iterator[bytes]:
        """Yield the decrypted bytes of a file; raise `BrokenBackupError` if the object is damaged."""
        return decrypted(
            checked(self.client, self.bucket, entry.object, entry.size, entry.sha256), identities
        )

    def verify(self, manifest: Manifest, identities: Sequence[Identity] = ()) -> None:
        """Read every byte of a backup; raise `BrokenBackupError` if one differs from what was written.

        With private keys it also decrypts everything, and raises `BackupError` if they are the wrong ones.
        """
        there = sizes(self.client, self.bucket, self.folder)
        for entry in manifest.entries:
            if entry.object not in there:
                raise BrokenBackupError(f"{entry.object} is missing; take another backup")
            stored = checked(self.client, self.bucket, entry.object, entry.size, entry.sha256)
            for _ in self.content(entry, identities) if identities else stored:
                pass

    def expire(self, now: datetime, keep: timedelta, unfinished: timedelta) -> list[str]:
        """Remove backups older than `keep` and the rest of interrupted ones; return the removed backups.

        The newest whole backup stays, however old it is. Signatures are not checked, since the account that
        removes has no key: a forged manifest can only keep objects, and no backup goes before its time.
        """
        there = sizes(self.client, self.bucket, self.folder)
        named = {name: self._named(name) for name in self.names()}
        whole = [
            name
            for name, entries in named.items()
            if entries and all(there.get(target) == size for target, size in entries.items())
        ]
        last = max(whole, default="")
        removed = [name for name in named if name < last and name < name_of(now - keep)]
        for name in removed:
            # The manifest first: a removal that is cut short leaves no backup that counts.
            self.client.remove_object(self.bucket, self.place(name, _MANIFEST))
        used = {target for name, entries in named.items() if name not in removed for target in entries}
        for item in self.client.list_objects(self.bucket, prefix=self.folder, recursive=True):
            name = str(item.object_name)
            old = item.last_modified is not None and item.last_modified <= now - unfinished
            gone = any(name.startswith(f"{self.folder}{one}/") for one in removed)
            if (old or gone) and name not in used and not name.endswith(f"/{_MANIFEST}"):
                self.client.remove_object(self.bucket, name)
        return removed

    def _named(self, name: str) -> dict[str, int]:
        """Return the objects and sizes that a manifest names, signed or not; none if it cannot be read."""
        try:
            entries = json.loads(unsigned(self._text(name)))["entries"]
            return {str(entry["object"]): int(entry["size"]) for entry in entries}
        except (ValueError, KeyError, TypeError):
            return {}
