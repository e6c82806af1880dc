"""`make demo`: the whole life of a model on this machine.

This starts MLflow, Airflow, the API, the pages and monitoring on loopback, with SQLite and local files under
`.demo/`, in one folder per data set. Three DAGs take the data set from CSV to a registered model; one patient
is scored, and one table sums it up. A second run continues from the state of the first. `--once` stops
everything after the table.
"""

import argparse
import sys
from pathlib import Path

import filelock
import httpx

from readmission_demo.console import CONSOLE
from readmission_demo.demo import ROOT, Demo
from readmission_demo.errors import DemoError
from readmission_demo.processes import Processes
from readmission_retrain.errors import RetrainError


def main() -> int:
    """Run the demo; return the exit code."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--once", action="store_true", help="stop everything after the table")
    parser.add_argument("--state", type=Path, default=ROOT / ".demo", help="folder for the demo's files")
    arguments = parser.parse_args()
    state = arguments.state.resolve()
    state.mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(state / "lock", blocking=False), Processes(state / "logs") as processes:
            return run(state, processes, once=arguments.once)
    except filelock.Timeout:
        CONSOLE.print("[red]demo:[/] another demo is running on this state; stop it first.")
        return 1


def run(state: Path, processes: Processes, *, once: bool) -> int:
    """Run the demo in `state`; return the exit code."""
    try:
        Demo(state, processes).run(once=once)
    except (DemoError, RetrainError, httpx.HTTPError) as error:
        CONSOLE.print(f"[red]demo:[/] {error}; the logs are in {processes.logs}")
        return 1
    except KeyboardInterrupt:
        CONSOLE.print("demo: stopped; `make demo` continues from here.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
