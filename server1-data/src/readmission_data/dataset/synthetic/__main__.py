"""Write a sample: `python -m readmission_data.dataset.synthetic OUT.csv --encounters 20000 --seed 1`."""

import argparse
import sys
from pathlib import Path

from readmission_data.dataset.synthetic import ENCOUNTERS, SEED, write
from readmission_data.errors import DatasetError


def main(arguments: list[str] | None = None) -> int:
    """Write a sample to the file named on the command line, and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m readmission_data.dataset.synthetic",
        description="Write a SYNTHETIC sample of encounters. No row describes a real patient.",
    )
    parser.add_argument("out", type=Path, help="csv to write")
    parser.add_argument("--encounters", type=int, default=ENCOUNTERS, help="rows (default %(default)s)")
    parser.add_argument("--seed", type=int, default=SEED, help="seed (default %(default)s)")
    given = parser.parse_args(arguments)
    try:
        write(given.out, given.encounters, given.seed)
    except DatasetError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    sys.stdout.write(f"{given.out}: {given.encounters:,} synthetic encounters, none of a real patient\n")
    return 0


sys.exit(main())
