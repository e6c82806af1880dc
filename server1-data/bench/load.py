"""Measure how long it takes to load the data set into RawData in MySQL, batch by batch.

    python server1-data/bench/load.py [--out FILE] [--runs 5] [--copies 10]

The baseline is one LOAD DATA LOCAL INFILE of the same CSV into one plain table with the same typed columns
and key, on the same server, in alternating runs. Then the rows are multiplied, with new numbers for
encounters and patients. Both times include the creation of the tables; each load is a separate process, timed
after its imports.
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from pydantic import SecretStr

from readmission_data import databases, dataset
from readmission_data.raw import tables
from readmission_data.raw.load import load_all
from readmission_data.settings import DataSettings

CHECKOUT = Path(__file__).resolve().parents[2]
MYSQL = CHECKOUT / "tests" / "support" / "mysql.py"
# Above every number of the data set, so that no two copies share an encounter or a patient.
ID_STEP = 1_000_000_000
AIM_RATIO = 2.0
AIM_MEGABYTES = 400


@dataclass(frozen=True)
class Figures:
    """Medians over the runs at one size: seconds, loads, rows and the highest peak of memory in MB."""

    rows: int
    runs: int
    loads: int
    plain: float
    loading: float
    megabytes: float


def plain_load(url: str, csv: Path) -> float:
    """Load the whole CSV with one statement, and return the seconds it took."""
    with databases.engine(SecretStr(url)) as engine:
        table = tables.ENCOUNTERS[tables.Split.TRAIN].to_metadata(sa.MetaData(), name="plain")
        # The number of the batch, which the file does not contain.
        table.c.batch.server_default = sa.DefaultClause("1")
        statement = (
            f"LOAD DATA LOCAL INFILE '{csv}' INTO TABLE plain CHARACTER SET utf8mb4"
            " FIELDS TERMINATED BY ',' LINES TERMINATED BY '\n' IGNORE 1 LINES"
        )
        table.drop(engine, checkfirst=True)
        began = time.perf_counter()
        with engine.begin() as connection:
            table.create(connection)
            connection.exec_driver_sql(statement)
        seconds = time.perf_counter() - began
        table.drop(engine)
    return seconds


def empty(url: str) -> None:
    with databases.engine(SecretStr(url)) as engine:
        tables.METADATA.drop_all(engine)


def load_here() -> None:
    """Load all batches in this process, as its environment says, and print the figures as JSON."""
    settings = DataSettings()
    # Imports the driver, which the baseline's process has already imported.
    with databases.engine(settings.raw_url):
        pass
    began = time.perf_counter()
    results = list(load_all(settings))
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    loaded = sum(result.loaded for result in results)
    sys.stdout.write(
        json.dumps({"seconds": seconds, "megabytes": peak, "loads": len(results), "rows": loaded})
    )


def load_apart(url: str, csv: Path) -> dict[str, float]:
    """Load all batches in a separate process, which must read and check the file itself."""
    with tempfile.TemporaryDirectory() as cache:
        given = {"READMISSION_RAW_URL": url, "READMISSION_DATASET": str(csv), "READMISSION_CACHE_DIR": cache}
        command = [sys.executable, __file__, "--load-here"]
        done = subprocess.run(command, env=os.environ | given, stdout=subprocess.PIPE, check=True)
    taken: dict[str, float] = json.loads(done.stdout)
    return taken


def measure(url: str, csv: Path, runs: int) -> Figures:
    plain, loads = [], []
    for run in range(runs):
        plain.append(plain_load(url, csv))
        empty(url)
        loads.append(load_apart(url, csv))
        sys.stderr.write(
            f"run {run + 1}: {loads[-1]['rows']:,.0f} rows, plain {plain[-1]:.2f} s,"
            f" loads {loads[-1]['seconds']:.2f} s, {loads[-1]['megabytes']:.0f} MB\n"
        )
    empty(url)
    return Figures(
        rows=int(loads[0]["rows"]),
        runs=runs,
        loads=int(loads[0]["loads"]),
        plain=statistics.median(plain),
        loading=statistics.median(load["seconds"] for load in loads),
        megabytes=max(load["megabytes"] for load in loads),
    )


def multiply(csv: Path, copies: int, target: Path) -> None:
    """Write `copies` copies of the rows, with new numbers for encounters and patients in each."""
    with csv.open("rb") as source, target.open("wb") as out:
        out.write(source.readline())
        rows = [line.split(b",", 2) for line in source.read().splitlines()]
        for copy in range(copies):
            step = copy * ID_STEP
            for encounter, patient, rest in rows:
                out.write(b"%d,%d,%b\n" % (int(encounter) + step, int(patient) + step, rest))


def report(small: Figures, large: Figures) -> str:
    copies = large.rows / small.rows
    growth = large.loading / small.loading
    rows = "\n".join(
        f"| {it.rows:,} | {it.runs} | {it.loads} | {it.loading:.2f} s | {it.plain:.2f} s"
        f" | {it.loading / it.plain:.2f} | {it.rows / it.loading:,.0f} | {it.megabytes:.0f} MB |"
        for it in (small, large)
    )
    return f"""## Loading RawData into MySQL

Medians on {os.cpu_count()} cores. The baseline is one `LOAD DATA LOCAL INFILE` of the whole
file into one table with the same columns and key: no checks, no splits, no ledger.

| rows | runs | loads | all batches | baseline | ratio | rows per second | peak memory |
|---|---|---|---|---|---|---|---|
{rows}

{copies:.0f} times the rows take {growth:.1f} times as long. Aims: a ratio of at most {AIM_RATIO},
growth no faster than the rows, under {AIM_MEGABYTES} MB.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare loads into MySQL with one LOAD DATA.")
    parser.add_argument("--out", type=Path, help="write a section in Markdown to this file")
    parser.add_argument("--runs", type=int, default=5, help="runs at the data set's own size")
    parser.add_argument("--copies", type=int, default=10, help="how often the rows are multiplied")
    parser.add_argument("--load-here", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.load_here:
        load_here()
        return
    with tempfile.TemporaryDirectory(prefix="bench") as name:
        folder = Path(name)
        csv, large_csv = folder / "diabetic_data.csv", folder / "multiplied.csv"
        with dataset.find(DataSettings()).open_csv() as stream, csv.open("wb") as out:
            shutil.copyfileobj(stream, out)
        multiply(csv, arguments.copies, large_csv)
        start = [sys.executable, str(MYSQL), "start", str(folder / "mysql"), "bench"]
        url = subprocess.run(start, capture_output=True, text=True, check=True).stdout.strip()
        try:
            small = measure(url, csv, arguments.runs)
            large = measure(url, large_csv, max(1, arguments.runs * 3 // 5))
        finally:
            subprocess.run([sys.executable, str(MYSQL), "stop", str(folder / "mysql")], check=True)
    text = report(small, large)
    sys.stdout.write(text)
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(text)


if __name__ == "__main__":
    main()
