"""Fill the BuildKit caches of the builds with this machine's own caches of uv and Go.

Otherwise each run of the tests would download the packages of all environments and compile MinIO from
scratch, which takes minutes. The builds still check every hash.
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
        # BuildKit does not document where it keeps a cache; the marker of the build above locates it.
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
    # uv's information about this machine's Pythons is wrong in an image.
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
    """Hard-link all files of a folder into another one, or copy them across file systems."""
    target.mkdir(parents=True, exist_ok=True)
    # The daemon mounted its folder on itself, and no link leads from one mount into another: seen without it.
    link = 'umount --lazy "$1" && cp --archive --link "$2/." "$3"'
    command = ["unshare", "--mount", "sh", "-c", link, "sh", docker.folder / "data", source, target]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        subprocess.run(["cp", "--archive", "--no-clobber", f"{source}/.", target], check=True)
