"""The machine's own Go: the stand-in of the pulled image is made of it, and the builds get its caches."""

import shutil
from pathlib import Path


def program() -> Path | None:
    """Return where it is: None where there is none."""
    found = Path(shutil.which("go") or "/usr/local/go/bin/go")
    return found if found.exists() else None
