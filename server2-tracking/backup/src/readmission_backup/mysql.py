"""Dumps of MySQL, made and read back by its own client programs."""

import shutil
import subprocess
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Final, cast

from readmission_backup.errors import BackupError, BrokenBackupError
from readmission_backup.settings import BackupSettings

_CHUNK: Final = 1024 * 1024
_KEPT: Final = "readmission_kept"
_END: Final = b"-- Dump completed"
_DUMP: Final = (
    # One snapshot of all databases; writers do not wait.
    "--single-transaction",
    "--quick",
    "--routines",
    "--triggers",
    "--events",
    "--hex-blob",
    "--no-tablespaces",
    "--set-gtid-purged=OFF",
    "--column-statistics=OFF",
    "--default-character-set=utf8mb4",
)


@contextmanager
def login(settings: BackupSettings) -> Iterator[list[str]]:
    """Yield the client's login options; the password stays out of the process list."""
    with tempfile.NamedTemporaryFile("w", suffix=".cnf") as file:
        secret = settings.mysql_password.get_secret_value().replace("\\", "\\\\").replace('"', '\\"')
        file.write(
            f"[client]\nhost={settings.mysql_host}\nport={settings.mysql_port}\n"
            f'user={settings.mysql_user}\npassword="{secret}"\nprotocol=TCP\n'
        )
        file.flush()
        yield [f"--defaults-file={file.name}"]


def dump(settings: BackupSettings) -> Iterator[bytes]:
    """Yield a gzip of the dump of all databases; raise `BackupError` if the dump fails."""
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    tail = b""
    with login(settings) as options, tempfile.TemporaryFile() as messages:
        command = [_program("mysqldump"), *options, *_DUMP, "--databases", *settings.databases]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=messages) as process:
            output = cast("IO[bytes]", process.stdout)
            try:
                while part := output.read(_CHUNK):
                    tail = (tail + part)[-200:]
                    if packed := packer.compress(part):
                        yield packed
            except BaseException:
                process.kill()
                raise
        messages.seek(0)
        if process.returncode or _END not in tail:
            raise BackupError(f"mysqldump failed: {_last(messages.read())}")
    yield packer.flush()


def unpacked(source: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the content of a gzip; raise `BrokenBackupError` if it is truncated."""
    unpacker = zlib.decompressobj(31)
    try:
        for part in source:
            yield unpacker.decompress(part)
        yield unpacker.flush()
    except zlib.error as error:
        raise BrokenBackupError("the dump is damaged; take another backup") from error
    if not unpacker.eof:
        raise BrokenBackupError("the dump is truncated; take another backup")


def load(settings: BackupSettings, statements: Iterator[bytes]) -> None:
    """Run a dump; raise `BackupError` with the server's message."""
    with login(settings) as options, tempfile.TemporaryFile() as messages:
        command = [_program("mysql"), *options, "--binary-mode", "--default-character-set=utf8mb4"]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=messages
        ) as process:
            client = cast("IO[bytes]", process.stdin)
            try:
                for part in statements:
                    client.write(part)
                client.close()
            except BrokenPipeError:
                # The client has ended, and its last words say why.
                pass
            except BaseException:
                process.kill()
                raise
        messages.seek(0)
        if process.returncode:
            raise BackupError(f"the restore failed: {_last(messages.read())}")


def tables(settings: BackupSettings, databases: Sequence[str]) -> int:
    """Count the tables and views in these databases."""
    names = ", ".join(f"'{name}'" for name in databases)
    # A database's name is letters, digits and _: the settings, and the manifest, allow no other.
    query = "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema IN "
    return int(run(settings, f"{query}({names})"))


def drop(settings: BackupSettings, databases: Sequence[str]) -> None:
    """Drop these databases."""
    run(settings, "".join(f"DROP DATABASE IF EXISTS `{name}`;" for name in databases))


def keep_rows(settings: BackupSettings) -> None:
    """Copy the rows of `kept_tables` to where a restore does not touch them."""
    for table in settings.kept_tables:
        if _exists(settings, table):
            run(settings, f"CREATE DATABASE IF NOT EXISTS `{_KEPT}`;")
            _add_rows(settings, table, _copy(table))


def return_rows(settings: BackupSettings) -> None:
    """Add the copied rows to the restored tables, and remove the copies."""
    for table in settings.kept_tables:
        if _exists(settings, _copy(table)):
            _add_rows(settings, _copy(table), table)
    drop(settings, [_KEPT])


def _add_rows(settings: BackupSettings, source: str, target: str) -> None:
    # Names are letters, digits, _ and one dot: the settings allow no other.
    insert = "INSERT IGNORE INTO"
    run(settings, f"CREATE TABLE IF NOT EXISTS {target} LIKE {source}; {insert} {target} TABLE {source};")


def _copy(table: str) -> str:
    return f"{_KEPT}.{table.replace('.', '_')}"


def _exists(settings: BackupSettings, table: str) -> bool:
    database, _, name = table.partition(".")
    # Names are letters, digits and _: the settings allow no other.
    query = "SELECT COUNT(*) FROM information_schema.tables WHERE "
    return run(settings, f"{query} table_schema = '{database}' AND table_name = '{name}'").strip() == "1"


def run(settings: BackupSettings, query: str) -> str:
    """Run statements and return what they print."""
    with login(settings) as options:
        done = subprocess.run(
            [_program("mysql"), *options, "--batch", "--skip-column-names"],
            input=query.encode(),
            capture_output=True,
            check=False,
        )
    if done.returncode:
        raise BackupError(f"MySQL reported an error: {_last(done.stderr)}")
    return done.stdout.decode()


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise BackupError(f"{name} is not on PATH: install MySQL's client programs")
    return found


def _last(words: bytes) -> str:
    lines = [line for line in words.decode(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"
