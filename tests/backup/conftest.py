"""Real MySQL and real MinIO, with the users, buckets and rights that the clusters' Jobs give them."""

import base64
import io
import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path

import pyrage
import pytest
from minio import Minio

from backup.support import minio
from readmission_backup.__main__ import main
from readmission_backup.accounts import set_up
from readmission_backup.settings import BackupSettings, StoreSettings
from support import mysql

CHECKOUT = Path(__file__).parents[2]
NAMES = (
    "raw", "clean", "airflow", "predictions", "audit", "auditor", "notebooks", "privacy", "backup",
    "exporter",
)  # fmt: skip
ROOT = "RootPassword0123456789"
KEYS = {
    "mlflow": ("mlflow-account", "mlflow-secret-key-1"),
    "backup": ("backup-account", "backup-secret-key-1"),
    "data-backup": ("data-backup-account", "data-backup-secret-key-1"),
    "expiry": ("expiry-account", "expiry-secret-key-1"),
    "copies": ("copies-account", "copies-secret-key-1"),
}
SIGNING_KEY = base64.urlsafe_b64encode(bytes(range(32))).decode()
# Made for these tests; a constant, since this module is imported under two names.
IDENTITY = pyrage.x25519.Identity.from_str(
    "AGE-SECRET-KEY-1WMJUQPKQURVDEAUKAMKRV5GNFRMFL6WJ29K6QC5R8SXNUM8HQYJQGV5865"
)


@pytest.fixture(scope="session")
def programs(mysql_server: mysql.Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `mysql` and `mysqldump` of the server's own release, for PATH."""
    folder = tmp_path_factory.mktemp("bin")
    *loader, client = mysql_server.programs.client
    for name in ("mysql", "mysqldump"):
        script = folder / name
        words = " ".join(f"'{word}'" for word in (*loader, str(Path(client).with_name(name))))
        script.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return folder


@dataclass
class Databases:
    """What the script of the Job mysql-users is given, and what it creates: the databases of `owner`."""

    server: mysql.Server
    programs: Path
    folder: Path
    passwords: dict[str, str] = field(
        default_factory=lambda: {name: f"{name}Password0123456" for name in NAMES}
    )
    root: str = ROOT
    previous: str = ""
    owner: str = "server1-data"

    def make_users(self) -> "subprocess.CompletedProcess[str]":
        """Run the script of the Job mysql-users, as the pod runs it."""
        for kind, values in (
            ("root", {"password": self.root, "previous": self.previous}),
            ("users", self.passwords),
        ):
            (self.folder / kind).mkdir(parents=True, exist_ok=True)
            for name, value in values.items():
                (self.folder / kind / name).write_text(value)
        # The ConfigMap has both files side by side.
        for part in ("ansible/manifests/mysql/users.sh", f"{self.owner}/deploy/mysql/grants.sh"):
            shutil.copy(CHECKOUT / part, self.folder)
        return subprocess.run(
            ["bash", self.folder / "users.sh"],
            env={
                **os.environ, "PATH": f"{self.programs}:{os.environ['PATH']}",
                "ROOT": str(self.folder / "root"), "USERS": str(self.folder / "users"),
                "MYSQL_HOST": "127.0.0.1", "MYSQL_PORT": str(self.server.port), "TRIES": "1",
            },
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    def query(self, user: str, statements: str, password: str | None = None) -> str:
        """Run statements as a user over TCP; raises `RuntimeError` with what MySQL says."""
        done = subprocess.run(
            [
                self.programs / "mysql", "--no-defaults", "--host=127.0.0.1", f"--port={self.server.port}",
                f"--user={user}", "--batch", "--skip-column-names",
            ],
            env={**os.environ, "MYSQL_PWD": password or {**self.passwords, "root": self.root}[user]},
            input=statements, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(done.stderr.strip().splitlines()[-1])
        return done.stdout


@pytest.fixture(scope="session")
def databases(
    mysql_server: mysql.Server, programs: Path, tmp_path_factory: pytest.TempPathFactory
) -> Databases:
    """Server 1's databases and users, made by the script of its Job."""
    # As the image's own first start leaves it.
    mysql_server.execute(
        f"CREATE USER 'root'@'%' IDENTIFIED BY '{ROOT}'; GRANT ALL ON *.* TO 'root'@'%' WITH GRANT OPTION;"
    )
    found = Databases(mysql_server, programs, tmp_path_factory.mktemp("secrets"))
    done = found.make_users()
    assert done.returncode == 0, done.stderr
    return found


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[minio.Store]:
    with minio.running(tmp_path_factory.mktemp("minio") / "store") as running:
        set_up(store_settings(running))
        yield running


def store_settings(store: minio.Store, **changed: str) -> StoreSettings:
    return StoreSettings(
        **{
            "url": store.url, "root_user": store.root, "root_password": store.password,
            "mlflow_access": KEYS["mlflow"][0], "mlflow_secret": KEYS["mlflow"][1],
            "tracking_backup_access": KEYS["backup"][0], "tracking_backup_secret": KEYS["backup"][1],
            "data_backup_access": KEYS["data-backup"][0], "data_backup_secret": KEYS["data-backup"][1],
            # The folder of each test.
            "tracking_prefix": "test-*",
            "expiry_access": KEYS["expiry"][0], "expiry_secret": KEYS["expiry"][1],
            "copies_access": KEYS["copies"][0], "copies_secret": KEYS["copies"][1],
        } | changed
    )  # fmt: skip


def client(store: minio.Store, user: str, secret: str | None = None) -> Minio:
    access, known = {**KEYS, "root": (store.root, store.password)}[user]
    return Minio(store.url.removeprefix("http://"), access, secret or known, secure=False, region="us-east-1")


Environment = Callable[..., dict[str, str]]


@pytest.fixture
def environment(databases: Databases, store: minio.Store, request: pytest.FixtureRequest) -> Environment:
    """Call it for the environment of the backup's pod; keywords change it. Each test has a prefix."""
    prefix = "".join(letter if letter.isalnum() else "-" for letter in request.node.name.lower()).strip("-")

    def give(user: str = "backup", **changed: str) -> dict[str, str]:
        access, secret = KEYS.get(user, (store.root, store.password))
        return {
            "READMISSION_BACKUP_STORE_URL": store.url,
            "READMISSION_BACKUP_PREFIX": prefix,
            "READMISSION_BACKUP_EXPIRE_PREFIXES": json.dumps([prefix]),
            "READMISSION_BACKUP_MYSQL_PORT": str(databases.server.port),
            "READMISSION_BACKUP_MYSQL_USER": user,
            "READMISSION_BACKUP_MYSQL_PASSWORD": databases.passwords.get(user, databases.root),
            "READMISSION_BACKUP_DATABASES": json.dumps(["RawData", "CleanData"]),
            "AWS_ACCESS_KEY_ID": access,
            "AWS_SECRET_ACCESS_KEY": secret,
            "READMISSION_BACKUP_SIGNING_KEYS": SIGNING_KEY,
            "READMISSION_BACKUP_RECIPIENT": str(IDENTITY.to_public()),
            # Only the restores hold what decrypts.
            **({"READMISSION_BACKUP_IDENTITIES": str(IDENTITY)} if user == "root" else {}),
        } | changed

    return give


@pytest.fixture
def settings(
    environment: Environment, monkeypatch: pytest.MonkeyPatch, programs: Path
) -> Callable[..., BackupSettings]:
    """As `environment`, read by the process itself."""

    def give(user: str = "backup", **changed: str) -> BackupSettings:
        for name, value in environment(user, **changed).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
        return BackupSettings()

    return give


@dataclass
class Done:
    """How a command ended, and what it said."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def command(programs: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Done]:
    """Run a command of the program with the environment of its pod, in this process: it starts at once."""

    def run(environment: Mapping[str, str], name: str) -> Done:
        out, err = io.StringIO(), io.StringIO()
        with monkeypatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.setattr(sys, "argv", ["readmission_backup", name])
            for key, value in {"PATH": f"{programs}:{os.environ['PATH']}", **environment}.items():
                patch.setenv(key, value)
            return Done(main(), out.getvalue(), err.getvalue())

    return run
