"""Measure how long preprocessing takes, from RawData in MySQL to the processed tables in MySQL.

    python server1-data/bench/preprocess.py [--out FILE] [--runs 3] [--copies 10]

The baseline is plain pandas, in the same run on the same rows: read_sql, get_dummies on everything (including
the diagnosis codes), SelectKBest(50), to_sql. Then the rows of RawData are multiplied, with new ids, and this
package runs alone. Each measurement is a separate process, timed after its imports.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TypedDict

import pandas as pd
import pandera.pandas as pandera
from pydantic import SecretStr
from sklearn.feature_selection import SelectKBest

from readmission_data import databases
from readmission_data.clean import tasks
from readmission_data.encounters.columns import COLUMNS
from readmission_data.raw.load import load_all
from readmission_data.settings import DataSettings

CHECKOUT = Path(__file__).resolve().parents[2]
MYSQL = CHECKOUT / "tests" / "support" / "mysql.py"
# Above every id of the data set, so that no two copies share an encounter or a patient.
ID_STEP = 1_000_000_000
DEATH_OR_HOSPICE = ["11", "13", "14", "19", "20", "21"]


class Measured(TypedDict):
    """The output of one process: seconds, and its peak memory in MB."""

    seconds: float
    megabytes: float


def with_package(raw_url: str, clean_url: str, folder: str) -> float:
    settings = DataSettings(
        raw_url=SecretStr(raw_url), clean_url=SecretStr(clean_url), staging_dir=Path(folder) / "staging"
    )
    # On its first check, pandera imports its backends, and hypothesis if it is installed.
    pandera.DataFrameSchema().validate(pd.DataFrame())
    began = time.perf_counter()
    tasks.preprocess(settings, "bench")
    return time.perf_counter() - began


def with_plain_pandas(raw_url: str, clean_url: str, _folder: str) -> float:
    with databases.engine(SecretStr(raw_url)) as raw, databases.engine(SecretStr(clean_url)) as clean:
        began = time.perf_counter()
        matrices, labels, ids = {}, {}, {}
        for split in ("train", "validation", "test"):
            frame = pd.read_sql(f"SELECT * FROM {split}_data", raw)
            frame = frame[~frame["discharge_disposition_id"].isin(DEATH_OR_HOSPICE)]
            labels[split] = (frame["readmitted"] == "<30").astype(int)
            ids[split] = frame["encounter_id"]
            fields = frame.drop(columns=["encounter_id", "patient_nbr", "weight", "readmitted", "batch"])
            matrices[split] = pd.get_dummies(fields)
            if split != "train":
                matrices[split] = matrices[split].reindex(columns=matrices["train"].columns, fill_value=0)
        selector = SelectKBest(k=50).set_output(transform="pandas").fit(matrices["train"], labels["train"])
        for split, matrix in matrices.items():
            chosen = selector.transform(matrix)
            chosen.insert(0, "encounter_id", ids[split])
            chosen.insert(1, "readmitted_30d", labels[split])
            chosen.to_sql(f"plain_{split}_processed", clean, if_exists="replace", index=False)
        return time.perf_counter() - began


WAYS = {"package": with_package, "pandas": with_plain_pandas}


def measure(way: str, raw_url: str, clean_url: str, folder: str) -> Measured:
    command = [sys.executable, __file__, "--measure", way, raw_url, clean_url, folder]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True)
    measured: Measured = json.loads(done.stdout.splitlines()[-1])
    print(f"  {way}: {measured['seconds']:.1f} s, {measured['megabytes']:.0f} MB", flush=True)
    return measured


def load(raw_url: str, folder: Path) -> int:
    """Load the whole data set into RawData and return its rows."""
    settings = DataSettings(raw_url=SecretStr(raw_url), cache_dir=folder / "cache", batch_size=1_000_000)
    return sum(result.rows_read for result in load_all(settings))


def multiply(raw_url: str, copies: int) -> None:
    """Multiply the rows of RawData by `copies`, with other encounters and patients in each copy."""
    names = ["batch", *(column.name for column in COLUMNS)]
    with databases.engine(SecretStr(raw_url)) as engine, engine.begin() as connection:
        for split in ("train", "validation", "test"):
            for copy in range(1, copies):
                moved = {name: f"{name} + {copy * ID_STEP}" for name in ("encounter_id", "patient_nbr")}
                columns = ", ".join(f"`{name}`" for name in names)
                values = ", ".join(moved.get(name, f"`{name}`") for name in names)
                connection.exec_driver_sql(
                    f"INSERT INTO {split}_data ({columns}) SELECT {values} FROM {split}_data "
                    f"WHERE encounter_id <= {ID_STEP}"
                )


def report(rows: int, copies: int, found: dict[str, list[Measured]]) -> str:
    def seconds(name: str) -> float:
        return statistics.median(one["seconds"] for one in found[name])

    def megabytes(name: str) -> float:
        return max(one["megabytes"] for one in found[name])

    def row(label: str, name: str, count: int) -> str:
        cells = (
            label,
            f"{count:,}",
            len(found[name]),
            f"{seconds(name):.1f} s",
            f"{megabytes(name):,.0f} MB",
        )
        return f"| {' | '.join(map(str, cells))} |"

    faster = seconds("pandas") / seconds("package")
    growth = seconds("multiplied") / seconds("package")
    return "\n".join(
        [
            "## Preprocess: RawData in MySQL to processed tables in MySQL",
            "",
            "| | rows | runs | median | peak memory |",
            "|---|---|---|---|---|",
            row("plain pandas (get_dummies, SelectKBest, to_sql)", "pandas", rows),
            row("this package", "package", rows),
            row("this package", "multiplied", rows * copies),
            "",
            f"{faster:.1f} times faster than plain pandas (aim: 5).",
            f"{copies} times the rows took {growth:.1f} times as long.",
            "",
        ]
    )


def bench(runs: int, copies: int) -> str:
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        started = subprocess.run(
            [sys.executable, MYSQL, "start", folder / "db", "raw", "clean"],
            stdout=subprocess.PIPE,
            check=True,
            text=True,
        )
        try:
            raw_url, clean_url = started.stdout.split()
            rows = load(raw_url, folder)
            print(f"preprocess: {rows:,} rows", flush=True)
            found: dict[str, list[Measured]] = {"package": [], "pandas": [], "multiplied": []}
            for _ in range(runs):
                # Alternating, so that the load on the machine affects both in the same way.
                for way in WAYS:
                    found[way].append(measure(way, raw_url, clean_url, name))
            print(f"preprocess: {rows * copies:,} rows", flush=True)
            multiply(raw_url, copies)
            found["multiplied"].append(measure("package", raw_url, clean_url, name))
            return report(rows, copies, found)
        finally:
            subprocess.run([sys.executable, MYSQL, "stop", folder / "db"], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="write a section in Markdown to this file")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--copies", type=int, default=10)
    parser.add_argument(
        "--measure", nargs=4, metavar=("WAY", "RAW", "CLEAN", "FOLDER"), help=argparse.SUPPRESS
    )
    given = parser.parse_args()
    if given.measure:
        way, *where = given.measure
        seconds = WAYS[way](*where)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"seconds": seconds, "megabytes": peak}))
        return
    section = bench(given.runs, given.copies)
    print(section)
    if given.out:
        given.out.write_text(section, encoding="utf-8")


if __name__ == "__main__":
    main()
