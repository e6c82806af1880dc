"""`python -m readmission_backup COMMAND`: backs up, restores, verifies, lists, sets up the object store."""

import argparse
import logging
import sys
from typing import Final

from pydantic import ValidationError

from readmission_backup import accounts
from readmission_backup.backups import back_up_artifacts, back_up_mysql, catalog_of, expire
from readmission_backup.catalog import Catalog, Kind
from readmission_backup.encryption import private_keys
from readmission_backup.errors import BackupError, BrokenBackupError, ForgedBackupError
from readmission_backup.restores import choose, restore
from readmission_backup.settings import BackupSettings, StoreSettings
from readmission_backup.store import STORE_ERRORS

COMMANDS: Final = {
    "mysql": "back up the databases",
    "artifacts": "back up the bucket of the artifacts",
    "list": "list the backups, the newest first",
    "verify": "read every byte of what a restore would take (RESTORE_FROM)",
    "restore-mysql": "restore the databases (RESTORE_FROM, RESTORE_OVERWRITE)",
    "restore-artifacts": "restore the artifacts",
    "restore": "restore all that this server backs up",
    "expire": "remove the backups of all servers that are too old",
    "accounts": "make MinIO's buckets and accounts",
}
RESTORES: Final[dict[str, list[Kind]]] = {"restore-mysql": ["mysql"], "restore-artifacts": ["artifacts"]}


def main() -> int:
    """Run one command; return the exit status."""
    parser = argparse.ArgumentParser(prog="readmission_backup", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in COMMANDS.items():
        commands.add_parser(name, help=text)
    command = parser.parse_args().command
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    try:
        if command == "accounts":
            # Every field comes from the environment.
            accounts.set_up(StoreSettings())  # type: ignore[call-arg]
        else:
            run(command, BackupSettings())  # type: ignore[call-arg]
    except ValidationError as error:
        for problem in error.errors():
            sys.stderr.write(f"error: {'.'.join(map(str, problem['loc']))}: {problem['msg']}\n")
        return 2
    except BackupError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    except STORE_ERRORS as error:
        sys.stderr.write(f"error: the object store does not do its part: {error}\n")
        return 1
    return 0


def run(command: str, settings: BackupSettings) -> None:
    """Run one command that works on backups."""
    kinds: list[Kind] = []
    if settings.databases:
        kinds.append("mysql")
    if settings.source_bucket:
        kinds.append("artifacts")
    if command == "mysql":
        sys.stdout.write(f"{back_up_mysql(settings).name}\n")
    elif command == "artifacts":
        sys.stdout.write(f"{back_up_artifacts(settings).name}\n")
    elif command == "expire":
        expire(settings)
    elif command == "list":
        for kind in kinds:
            show(settings, kind)
    elif command == "verify":
        identities = private_keys(settings.identities) if settings.identities else []
        for catalog, manifest in choose(settings, kinds):
            catalog.verify(manifest, identities)
            sys.stdout.write(f"{catalog.kind} {manifest.name}: every byte is as it was written\n")
    else:
        restore(settings, RESTORES.get(command, kinds))


def show(settings: BackupSettings, kind: Kind) -> None:
    """Print the backups of one kind."""
    catalog = catalog_of(settings, kind)
    whole = {manifest.name: manifest for manifest in catalog.whole()}
    for name in catalog.names():
        if name in whole:
            state = f"{sum(entry.size for entry in whole[name].entries)} bytes"
        else:
            state = _fault(catalog, name)
        sys.stdout.write(f"{kind} {name}: {state}\n")


def _fault(catalog: Catalog, name: str) -> str:
    try:
        catalog.read(name)
    except ForgedBackupError as error:
        return f"REFUSED: {error}"
    except BrokenBackupError as error:
        return f"BROKEN: {error}"
    return "BROKEN: an object is missing or has another size"


if __name__ == "__main__":
    sys.exit(main())
