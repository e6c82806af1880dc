"""The capacity search against our server on this machine: Locust on one core, the API on the other."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from servers import CHECKOUT, VENVS, Server

LOADTEST = CHECKOUT / "server3-serving/loadtest/src/readmission_loadtest"


def search(server: Server, load_core: int, folder: Path, plot: Path | None) -> str:
    """Run the search against the running `server`, write the plot, and return a section in Markdown."""
    report = folder / "capacity"
    files = ",".join(str(LOADTEST / name) for name in ("locustfile.py", "capacity.py"))
    environment = {
        **os.environ,
        "READMISSION_LOADTEST_REPORT": str(report),
        "READMISSION_LOADTEST_FIRST_USERS": "40",
    }
    subprocess.run(
        [
            *("taskset", "-c", str(load_core), VENVS / "loadtest/bin/locust", "-f", files),
            *("--headless", "--only-summary", "--host", server.url.removesuffix(server.path)),
            *("--loglevel", "WARNING"),
        ],
        env=environment,
        cwd=folder,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    if plot:
        shutil.copyfile(report.with_suffix(".png"), plot)
    found = json.loads(report.with_suffix(".json").read_text())
    return section(found, report.with_suffix(".md").read_text(), plot)


def section(found: dict[str, Any], table: str, plot: Path | None) -> str:
    """Return the section of docs/performance.md."""
    held, limit = found["held"], found["limits"]["p95_ms"]
    picture = f"\n![Requests per second and latency by users]({plot.name})\n" if plot else ""
    return f"""## Capacity

This is the search of `make load`, with Locust on one core and the API with its prediction log on the other.
Each user sends at most ten requests per second (98.8 % one patient, 1 % a list of 20, 0.2 % an explanation).
The search adds users until the 95th percentile of `/predict` exceeds {limit:.0f} ms or more than 0.1 % of
requests fail.

Highest load sustained: **{held["users"]:,} users, {held["requests_per_second"]:,.0f} requests/s**, with
p95 at {held["p95_ms"]:.0f} ms.

{table}{picture}"""
