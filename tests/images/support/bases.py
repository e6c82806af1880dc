"""Stand-ins for pulled images: Python, Go, MySQL and nginx, made of Debian's packages.

No registry of images is needed. The Python is bookworm's, the MySQL server and nginx are sid's; each image
has what the project asks of the pulled one, and no more.
"""

import hashlib
import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from images.support import go
from images.support.docker import Docker, DockerUnavailableError

PYTHON = "standin/python:3.11"
GO = "standin/go"
MYSQL = "standin/mysql"
NGINX = "standin/nginx"

FILES = Path(__file__).with_name("standin")
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
SYSTEMS = {
    # Has headers, pip and venv as the pulled one; apt installs a compiler in a build stage.
    "bookworm": ("apt", "ca-certificates,python3,python3-venv,python3-pip,libpython3.11-dev"),
    # Only unpacked: its programs are run, nothing is installed into it.
    "sid": (
        "extract",
        "base-files,bash,dash,coreutils,libc-bin,sed,grep,mawk,findutils,mysql-server-core,mysql-client-core,nginx",
    ),
}
LABEL = "readmission.packages"
"""Names what a system was made of: with other packages it is made again."""
OMITTED = ("man", "doc", "locale", "info")


def make(docker: Docker, cache: Path) -> None:
    """Make all stand-in images that the daemon lacks; the systems' tar files are kept in `cache`."""
    cache.mkdir(parents=True, exist_ok=True)

    def is_known(name: str, label: str = "") -> bool:
        asked = ("image", "inspect", "--format", f'{{{{index .Config.Labels "{LABEL}"}}}}', name)
        said = docker.call(*asked)
        return said.returncode == 0 and (not label or said.stdout.strip() == label)

    def import_system(name: str, codename: str, path: str) -> None:
        if not is_known(name, _key(codename)):
            changes = (f"--change=ENV PATH={path}", f"--change=LABEL {LABEL}={_key(codename)}")
            docker.run("import", *changes, "-", name, stdin=_system(codename, cache))

    def make_servers() -> None:
        import_system("standin/sid", "sid", "/usr/sbin:/usr/bin")
        for name, target in ((MYSQL, "mysql"), (NGINX, "nginx")):
            docker.run("build", "--quiet", "--network=host", f"--target={target}", f"--tag={name}", FILES)

    def make_languages() -> None:
        import_system(PYTHON, "bookworm", "/usr/local/bin:/usr/sbin:/usr/bin")
        if not is_known(GO):
            _go(docker)

    with ThreadPoolExecutor(2) as pool:
        for made in [pool.submit(make_languages), pool.submit(make_servers)]:
            made.result()


def _system(codename: str, cache: Path) -> Path:
    """The tar file of a Debian system; made once, which takes mmdebstrap half a minute."""
    variant, packages = SYSTEMS[codename]
    made = cache / f"{codename}-{_key(codename)}.tar"
    if made.exists():
        return made
    if shutil.which("mmdebstrap") is None or not KEYRING.is_file():
        raise DockerUnavailableError("mmdebstrap is missing (Debian: apt-get install mmdebstrap)")
    # Another run may make the same one.
    part = cache / f"{codename}.{os.getpid()}"
    sources = cache / f"{part.name}.list"
    sources.write_text(f"deb [signed-by={KEYRING}] {_mirror()} {codename} main\n")
    command = [
        "mmdebstrap", "--quiet", f"--variant={variant}", f"--include={packages}",
        '--aptopt=Acquire::Retries "5"',
        # sid's list is signed for a week, and a mirror may be older.
        '--aptopt=Acquire::Check-Valid-Until "false"',
        *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in OMITTED),
        codename, str(part), str(sources),
    ]  # fmt: skip
    if codename == "bookworm":
        links = "cd $1/usr/local/bin && ln -s /usr/bin/python3 python3 && ln -s python3 python"
        command[1:1] = [
            f"--customize-hook={links}",
            "--customize-hook=rm -rf $1/var/lib/apt/lists/* $1/var/cache/apt/*",
        ]
    command.append("--format=tar")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    part.rename(made)
    sources.unlink()
    return made


def _key(codename: str) -> str:
    return hashlib.sha256(repr(SYSTEMS[codename]).encode()).hexdigest()[:12]


def _mirror() -> str:
    asked = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Codename: bookworm", "Component: main"]
    mirrors = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()
    if not mirrors:
        raise DockerUnavailableError("apt has no mirror of Debian bookworm")
    return min(mirrors)


def _go(docker: Docker) -> None:
    """The machine's own Go, as the pulled image has it."""
    program = go.program()
    if program is None:
        raise DockerUnavailableError("go is missing (1.24 or newer)")
    root = subprocess.run(
        [program, "env", "GOROOT"], capture_output=True, text=True, check=True
    ).stdout.strip()
    names = [f"{root}/{name}"[1:] for name in ("VERSION", "go.env", "bin", "lib", "pkg", "src")]
    pack = subprocess.Popen(
        [
            "tar",
            "-c",
            "--exclude=*_test.go",
            "--exclude=testdata",
            f"--transform=s,^{root[1:]},usr/local/go,",
            "-C",
            "/",
            *names,
        ],
        stdout=subprocess.PIPE,
    )
    load = subprocess.run(
        docker.command("import", "-", "standin/go-files"),
        stdin=pack.stdout,
        capture_output=True,
        text=True,
        check=False,
    )
    assert load.returncode == 0, load.stderr
    assert pack.wait() == 0
    docker.run("build", "--quiet", "--network=host", "--target=go", f"--tag={GO}", FILES)
