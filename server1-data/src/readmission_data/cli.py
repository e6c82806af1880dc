"""The commands of server 1: the work of the DAGs by hand, and the rollback of a model."""

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from readmission_data.errors import ReadmissionDataError
from readmission_data.replay import options as replay_options
from readmission_data.settings import DataSettings

# A command's logic is imported when it runs, so that `--help` and usage errors answer immediately.


def dataset(settings: DataSettings) -> dict[str, Any]:
    """Find the data set and print which one it is."""
    from readmission_data.dataset import find  # noqa: PLC0415

    found = find(settings)
    return {"path": str(found.path), "kind": found.kind, "sha256": found.sha256, "synthetic": found.synthetic}


def load(settings: DataSettings) -> dict[str, Any]:
    """Load the next batch into RawData."""
    from readmission_data.raw.load import load_next  # noqa: PLC0415

    return _plain(load_next(settings))


def load_all(settings: DataSettings) -> dict[str, Any]:
    """Load batches into RawData until the source has nothing new."""
    from readmission_data.raw import load as raw_load  # noqa: PLC0415

    return {"loads": [_plain(result) for result in raw_load.load_all(settings)]}


def preprocess(settings: DataSettings) -> dict[str, Any]:
    """Turn RawData into the processed tables of CleanData."""
    from readmission_data.clean import tasks  # noqa: PLC0415

    return _plain(tasks.preprocess(settings, f"by-hand-{datetime.now(UTC):%Y%m%dT%H%M%S}"))


def train(settings: DataSettings) -> dict[str, Any]:
    """Train the candidates, register the best one and move the aliases."""
    from readmission_data.registry.register import register  # noqa: PLC0415
    from readmission_data.training.run import train as train_candidates  # noqa: PLC0415

    return _plain(register(settings, train_candidates(settings)))


def rollback(settings: DataSettings, given: argparse.Namespace) -> dict[str, Any]:
    """Let the previous version serve again, or the one named with --to, and pin it."""
    from readmission_data.registry import aliases  # noqa: PLC0415

    return _plain(aliases.rollback(settings, to=given.to, reason=given.reason, by=given.by))


def pin(settings: DataSettings, given: argparse.Namespace) -> dict[str, Any]:
    """Hold the version that serves: no training replaces it until `release`."""
    from readmission_data.registry import aliases  # noqa: PLC0415

    return _plain(aliases.hold(settings, reason=given.reason, by=given.by))


def release(settings: DataSettings) -> dict[str, Any]:
    """Remove the pin; the next training may replace the version that serves."""
    from readmission_data.registry import aliases  # noqa: PLC0415

    return _plain(aliases.release(settings))


def status(settings: DataSettings) -> dict[str, Any]:
    """Print the state of the data and the models."""
    from readmission_data.status import status as current  # noqa: PLC0415

    return current(settings)


def erase(settings: DataSettings, given: argparse.Namespace) -> dict[str, Any]:
    """Erase a patient everywhere, or with `--again` all who were erased before (after a restore)."""
    from readmission_data.privacy import erasure  # noqa: PLC0415

    if given.again:
        return _plain(erasure.apply(settings))
    return _plain(erasure.erase(settings, given.patient, frozenset(given.request_id)))


def replay(settings: DataSettings, given: argparse.Namespace) -> int:
    """Send test patients to the inference API as traffic, followed by their outcomes."""
    from readmission_data.replay import result  # noqa: PLC0415
    from readmission_data.replay.run import replay as run  # noqa: PLC0415

    summary = run(settings, replay_options.ReplaySettings(), replay_options.given_by(given))
    sys.stdout.write(json.dumps(summary) if given.json else result.table(summary))
    sys.stdout.write("\n")
    return 0


def retain(settings: DataSettings) -> dict[str, Any]:
    """Delete what is older than the settings keep it."""
    from readmission_data.privacy import retention  # noqa: PLC0415

    return _plain(retention.retain(settings))


COMMANDS: dict[str, Callable[[DataSettings], dict[str, Any]]] = {
    "dataset": dataset,
    "load": load,
    "load-all": load_all,
    "preprocess": preprocess,
    "train": train,
    "release": release,
    "status": status,
    "retain": retain,
}

DECISIONS: dict[str, Callable[[DataSettings, argparse.Namespace], dict[str, Any]]] = {
    "rollback": rollback,
    "pin": pin,
}
"""The commands that record who decided, and why."""


def main(arguments: Iterable[str] | None = None) -> int:
    """Run one command. Return 0, or 2 if the user must fix something first."""
    parser = argparse.ArgumentParser(prog="readmission_data", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, function in COMMANDS.items():
        command = commands.add_parser(name, help=function.__doc__, description=function.__doc__)
        command.add_argument("--json", action="store_true", help="print one JSON object")
    for name, decide in DECISIONS.items():
        command = commands.add_parser(name, help=decide.__doc__, description=decide.__doc__)
        command.add_argument("--json", action="store_true", help="print one JSON object")
        command.add_argument("--reason", required=name == "pin", help="why, for those who ask later")
        command.add_argument("--by", help="who decided; by default the user of this process")
        if name == "rollback":
            command.add_argument(
                "--to", metavar="VERSION", help="the version to serve; by default `previous`"
            )
    command = commands.add_parser("replay", help=replay.__doc__, description=replay.__doc__)
    command.add_argument("--json", action="store_true", help="print one JSON object")
    replay_options.add_to(command)
    command = commands.add_parser("erase", help=erase.__doc__, description=erase.__doc__)
    command.add_argument("--json", action="store_true", help="print one JSON object")
    which = command.add_mutually_exclusive_group(required=True)
    which.add_argument("--patient", type=int, metavar="NUMBER", help="number of the patient (patient_nbr)")
    which.add_argument("--again", action="store_true", help="erase again all who were erased before")
    command.add_argument(
        "--request-id",
        action="append",
        default=[],
        metavar="ID",
        help="a request whose predictions go as well",
    )
    given = parser.parse_args(None if arguments is None else list(arguments))
    try:
        if given.command == "replay":
            return replay(DataSettings(), given)
        if given.command in DECISIONS:
            answer = DECISIONS[given.command](DataSettings(), given)
        elif given.command == "erase":
            answer = erase(DataSettings(), given)
        else:
            answer = COMMANDS[given.command](DataSettings())
    except ReadmissionDataError as error:
        sys.stderr.write(f"readmission_data: {error}\n")
        return 2
    except ValidationError as error:
        # Without the values: a database URL contains its password.
        for problem in error.errors(include_input=False, include_url=False):
            name = "_".join(str(part) for part in problem["loc"]).upper()
            sys.stderr.write(f"readmission_data: READMISSION_{name}: {problem['msg']}\n")
        return 2
    sys.stdout.write(json.dumps(answer) if given.json else "\n".join(_lines(answer)))
    sys.stdout.write("\n")
    return 0


def _plain(result: Any) -> dict[str, Any]:  # noqa: ANN401 - any of the results, all dataclasses
    return dataclasses.asdict(result)


def _lines(value: dict[str, Any], indent: str = "") -> Iterable[str]:
    for name, part in value.items():
        if isinstance(part, dict):
            yield f"{indent}{name}:"
            yield from _lines(part, f"{indent}  ")
        elif isinstance(part, list) and part and isinstance(part[0], dict):
            yield f"{indent}{name}:"
            for item in part:
                yield f"{indent}  - " + ", ".join(f"{key} {entry}" for key, entry in item.items())
        else:
            yield f"{indent}{name}: {part}"
