"""The machine's own Go: the stand-in for the pulled image contains it, and the builds get its caches."""

import shutil
from pathlib import Path


def program() -> Path | None:
    """Return the path of Go, or None if it is not installed."""
    found = Path(shutil.which("go") or "/usr/local/go/bin/go")
    return found if found.exists() else None
