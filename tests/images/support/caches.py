"""What this machine downloaded and compiled already, lent to the builds: their BuildKit caches start full.

Else each run of the tests would load the packages of all environments and compile MinIO from nothing,
which takes minutes. The builds check every hash all the same.
"""

import subprocess
import uuid
from pathlib import Path

from images.support import go
from images.support.docker import Docker
from manifests.support.kustomize import CHECKOUT

FILES = Path(__file__).with_name("standin")


def lend(docker: Docker) -> None:
    """Link the caches of this machine's uv and Go into those that the Dockerfiles mount."""
    mark = f"mark-{uuid.uuid4().hex}"
    docker.run("build", "--quiet", "--network=host", "--target=caches", f"--build-arg=MARK={mark}", FILES)
    for name, folders in {"uv": _uv(), "go": _go()}.items():
        # Where BuildKit keeps a cache is nobody's business but its own: the build above left a mark there.
        found = list(docker.folder.glob(f"data/overlay2/*/diff/{mark}-{name}"))
        if not found:
            continue
        for target, source in folders.items():
            if source.is_dir():
                _link(docker, source, found[0].parent / target)
        found[0].unlink()


def _uv() -> dict[str, Path]:
    program = CHECKOUT / ".venvs" / "uv" / "bin" / "uv"
    if not program.exists():
        return {}
    # What uv knows of this machine's Pythons is not true in an image.
    parts = _told(program, "cache", "dir").glob("*-v*")
    return {part.name: part for part in parts if not part.name.startswith("interpreter")}


def _go() -> dict[str, Path]:
    program = go.program()
    if program is None:
        return {}
    return {"build": _told(program, "env", "GOCACHE"), "modules": _told(program, "env", "GOMODCACHE")}


def _told(*command: str | Path) -> Path:
    return Path(subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip())


def _link(docker: Docker, source: Path, target: Path) -> None:
    """Link all files of a folder into another one, or copy them where they are on two file systems."""
    target.mkdir(parents=True, exist_ok=True)
    # The daemon mounted its folder on itself, and no link leads from one mount into another: seen without it.
    link = 'umount --lazy "$1" && cp --archive --link "$2/." "$3"'
    command = ["unshare", "--mount", "sh", "-c", link, "sh", docker.folder / "data", source, target]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        subprocess.run(["cp", "--archive", "--no-clobber", f"{source}/.", target], check=True)
