"""Checksums of the files of a version that server 3 reads."""

import hashlib
import json
from pathlib import Path
from typing import Final

from readmission_data.errors import RegistryError
from readmission_data.model_version.contract import (
    CARD_FILE,
    GOLDEN_FILE,
    MANIFEST_FILE,
    MODEL_FILE,
    SCHEMA_FILE,
)

FILES: Final = (MODEL_FILE, SCHEMA_FILE, GOLDEN_FILE, CARD_FILE)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def write(folder: Path) -> str:
    """Write `manifest.json` for the files in `folder`, and return its own SHA-256."""
    path = folder / MANIFEST_FILE
    content = {name: sha256(folder / name) for name in sorted(FILES)}
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return sha256(path)


def check(folder: Path, expected: str | None) -> None:
    """Raise `RegistryError` if the manifest in `folder`, or a file that it lists, was changed.

    `expected` is the manifest's own SHA-256, from the version's tag.
    """
    if sha256(folder / MANIFEST_FILE) != expected:
        raise RegistryError("the manifest differs from the version's tag")
    for name, digest in json.loads((folder / MANIFEST_FILE).read_text(encoding="utf-8")).items():
        if sha256(folder / name) != digest:
            raise RegistryError(f"{name} differs from the manifest")
