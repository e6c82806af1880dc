"""A real MySQL server for tests and benches: unpacked into a cache, run on loopback, never installed.

    python tests/support/mysql.py start DIR [DATABASE ...]   prints one URL per database
    python tests/support/mysql.py stop DIR

It needs only the standard library. The server comes from Debian sid (the same release line as the deployed
image) and runs with its own C library, so an older Debian stays unchanged. Without apt, a MySQL server (8.4
or newer) on PATH is used.
"""

import argparse
import contextlib
import fcntl
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

CACHE = Path(__file__).parents[2] / ".cache" / "mysql"
PACKAGES = ("mysql-server-core", "mysql-client-core")
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
OLDEST = (8, 4)
STARTUP_SECONDS = 60
# The binary log and durable commits stay on, as in production: they restrict and slow down statements.
SERVER_OPTIONS = (
    "--bind-address=127.0.0.1",
    "--mysqlx=OFF",
    "--local-infile=ON",
    "--secure-file-priv=NULL",
    "--skip-name-resolve",
    # Saves 200 MB and half a second; nothing here reads it.
    "--performance-schema=OFF",
)


class MySQLUnavailableError(Exception):
    """No MySQL server is available on this machine; the message says why in one line."""


@dataclass(frozen=True, slots=True)
class Programs:
    """How to call the server and the client: command lines up to the first option."""

    server: tuple[str, ...]
    client: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Server:
    """A running server. `folder` contains its data, socket, log and pid file."""

    folder: Path
    port: int
    programs: Programs

    def execute(self, statements: str) -> None:
        """Run statements as root, over the server's socket."""
        self.query(statements)

    def query(self, statements: str) -> list[str]:
        """Run statements as root over the server's socket; return the rows with tabs between columns."""
        command = [*self.programs.client, "--no-defaults", "--user=root", f"--socket={_socket(self.folder)}"]
        done = subprocess.run(
            [*command, "--batch", "--skip-column-names"],
            input=statements, text=True, capture_output=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"mysql refused: {done.stderr.strip()}")
        return done.stdout.splitlines()

    def create_database(self, name: str) -> str:
        """Create an empty database and a user of that name with rights on nothing else; return its URL."""
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,31}", name):
            raise ValueError(
                f"{name!r} is not a valid database name: use lower case, digits and _, at most 32"
            )
        password = secrets.token_urlsafe(12)
        pattern = name.replace("_", r"\_")
        self.execute(
            f"DROP DATABASE IF EXISTS `{name}`; DROP USER IF EXISTS '{name}'@'%';"
            f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4;"
            f"CREATE USER '{name}'@'%' IDENTIFIED BY '{password}';"
            f"GRANT ALL ON `{pattern}`.* TO '{name}'@'%';"
        )
        return f"mysql+pymysql://{name}:{quote(password, safe='')}@127.0.0.1:{self.port}/{name}"

    def drop_database(self, name: str) -> None:
        """Remove a database and its user."""
        self.execute(f"DROP DATABASE IF EXISTS `{name}`; DROP USER IF EXISTS '{name}'@'%';")


def programs() -> Programs:
    """Return the server in the cache, or unpack Debian's, or use one on PATH."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with _locked(CACHE / "lock"):
        tree = CACHE / "tree"
        if not tree.is_dir():
            if shutil.which("apt-get") is None or not KEYRING.is_file():
                return _programs_on_path()
            _unpack(tree)
    return _programs_in(tree)


def start(folder: Path, *, options: Sequence[str] = (), with_parent: bool = False) -> Server:
    """Start a server on a free loopback port in `folder`, or return the one that is running there.

    Databases that exist in the folder are kept. `with_parent` kills the server when the calling process dies
    for any reason.
    """
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    if len(str(_socket(folder))) > 100:  # Linux allows 107 bytes
        raise MySQLUnavailableError(f"mysql: {folder} is too long a path for a socket; take a shorter one")
    found = programs()
    if _pid(folder) is not None:
        return Server(folder, int((folder / "port").read_text()), found)
    base = [*found.server, f"--datadir={folder / 'data'}", *(["--user=root"] if os.geteuid() == 0 else [])]
    if not (folder / "data" / "mysql.ibd").exists():
        shutil.rmtree(folder / "data", ignore_errors=True)
        made = subprocess.run(
            [*base, "--initialize-insecure"], capture_output=True, text=True, check=False, cwd=folder
        )
        if made.returncode:
            raise MySQLUnavailableError(f"mysql: cannot make a data folder: {_last_line(made.stderr)}")
    port = _free_port()
    log = folder / "error.log"
    log.write_text("")
    command = [
        *(["setpriv", "--pdeathsig", "SIGKILL"] if with_parent else []),
        *base,
        *SERVER_OPTIONS,
        *options,
        f"--port={port}",
        f"--socket={_socket(folder)}",
        f"--pid-file={_pid_file(folder)}",
        f"--log-error={log}",
    ]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        cwd=folder, start_new_session=True,
    )  # fmt: skip
    (folder / "port").write_text(str(port))
    server = Server(folder, port, found)
    _wait_until_up(server, process, log)
    return server


def stop(folder: Path) -> None:
    """Stop the server in `folder` by its pid file; do nothing if none is running."""
    folder = folder.resolve()
    pid = _pid(folder)
    if pid is None:
        return
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + 30
    while _pid(folder) is not None:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            return
        time.sleep(0.02)


def _socket(folder: Path) -> Path:
    return folder / "mysqld.sock"


def _pid_file(folder: Path) -> Path:
    return folder / "mysqld.pid"


def _pid(folder: Path) -> int | None:
    """Return the pid of the running server of this folder, if there is one."""
    try:
        pid = int(_pid_file(folder).read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return None
    # Pids are reused: the process is ours only if it runs on this folder.
    return pid if str(folder / "data").encode() in command else None


def _wait_until_up(server: Server, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + STARTUP_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise MySQLUnavailableError(f"mysql: the server ended at once: {_last_line(log.read_text())}")
        if _pid_file(server.folder).exists():
            with contextlib.suppress(RuntimeError):
                server.execute("SELECT 1")
                return
        time.sleep(0.05)
    process.kill()
    raise MySQLUnavailableError(f"mysql: the server is not up after {STARTUP_SECONDS} s; see {log}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if "[ERROR]" in line] or text.splitlines() or ["no message"]
    return lines[-1].strip()


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _programs_on_path() -> Programs:
    server, client = shutil.which("mysqld"), shutil.which("mysql")
    if server is None or client is None:
        raise MySQLUnavailableError(
            "mysql: neither apt with Debian's keyring nor mysqld and mysql on PATH; install MySQL 8.4+"
        )
    answer = subprocess.run([server, "--version"], capture_output=True, text=True, check=False).stdout
    version = re.search(r"Ver (\d+)\.(\d+)", answer)
    if "MariaDB" in answer or version is None or (int(version[1]), int(version[2])) < OLDEST:
        raise MySQLUnavailableError(f"mysql: {server} is not MySQL 8.4 or newer ({answer.strip()})")
    return Programs((server, "--no-defaults"), (client,))


def _programs_in(tree: Path) -> Programs:
    libraries = next((tree / "usr/lib").glob("*-linux-gnu"))
    loader = next(path for path in tree.glob("usr/lib*/ld-linux-*.so.*") if path.exists())
    run = (str(loader), "--library-path", str(libraries))
    server = (
        *run,
        str(tree / "usr/sbin/mysqld"),
        "--no-defaults",
        f"--basedir={tree / 'usr'}",
        f"--lc-messages-dir={tree / 'usr/share/mysql'}",
        f"--character-sets-dir={tree / 'usr/share/mysql/charsets'}",
        f"--plugin-dir={tree / 'usr/lib/mysql/plugin'}",
    )
    return Programs(server, (*run, str(tree / "usr/bin/mysql")))


def _unpack(tree: Path) -> None:
    """Download Debian's packages with a private apt and unpack them; `tree` appears atomically."""
    work = CACHE / "apt"
    shutil.rmtree(work, ignore_errors=True)
    for folder in ("etc/preferences.d", "lists/partial", "cache/archives/partial", "tree"):
        (work / folder).mkdir(parents=True)
    (work / "status").touch()
    (work / "etc/sources.list").write_text(f"deb [signed-by={KEYRING}] {_mirror()} sid main\n")
    settings = {
        "Dir::Etc": f"{work}/etc",
        "Dir::Etc::sourcelist": f"{work}/etc/sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::State::lists": f"{work}/lists",
        "Dir::State::status": f"{work}/status",
        "Dir::Cache": f"{work}/cache",
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "",
        "Debug::NoLocking": "1",
        "Acquire::Languages": "none",
        "Acquire::Retries": "3",
    }
    apt = ["apt-get", "-q", *(f"-o{name}={value}" for name, value in settings.items())]
    _run([*apt, "update"], "cannot read Debian's package list")
    _run([*apt, "-y", "-d", "install", *PACKAGES], "cannot download MySQL from Debian")
    for package in sorted((work / "cache/archives").glob("*.deb")):
        unpack = 'dpkg-deb --fsys-tarfile "$1" | tar -x --keep-directory-symlink -C "$2"'
        _run(
            ["bash", "-o", "pipefail", "-c", unpack, "-", str(package), f"{work}/tree"],
            f"broken: {package.name}",
        )
    (work / "tree").rename(tree)
    shutil.rmtree(work)


def _mirror() -> str:
    """Return the Debian mirror of this machine."""
    release = dict(
        line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line
    )
    codename = release.get("VERSION_CODENAME", "").strip('"')
    command = [
        "apt-get", "indextargets", "--format", "$(REPO_URI)", f"Codename: {codename}", "Component: main",
    ]  # fmt: skip
    mirrors = sorted(set(_run(command, "cannot ask apt for its mirror").split()))
    if release.get("ID") != "debian" or not mirrors:
        raise MySQLUnavailableError("mysql: apt has no Debian mirror; put MySQL 8.4 or newer on PATH")
    return mirrors[0]


def _run(command: Sequence[str], what: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise MySQLUnavailableError(f"mysql: {what}: {_last_line(done.stderr)}")
    return done.stdout


def main() -> int:
    parser = argparse.ArgumentParser(description="Runs a real MySQL server on loopback.")
    actions = parser.add_subparsers(dest="action", required=True)
    starter = actions.add_parser("start", help="starts a server, prints one URL a database")
    starter.add_argument("folder", type=Path)
    starter.add_argument("databases", nargs="*", default=["readmission"])
    stopper = actions.add_parser("stop", help="stops the server of a folder")
    stopper.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    if arguments.action == "stop":
        stop(arguments.folder)
        return 0
    try:
        server = start(arguments.folder)
    except MySQLUnavailableError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    for name in arguments.databases:
        sys.stdout.write(f"{server.create_database(name)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
