"""Batches against our server: rows per second of JSON lists, and a large CSV file end to end."""

import csv
import io
import json
import statistics
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

JSON_ROWS = 1_000
_PART = 64 * 1024


@dataclass(frozen=True)
class CsvRun:
    """One upload: seconds from the first byte sent to the last received, peak memory above the start."""

    rows: int
    seconds: float
    extra_megabytes: float


def json_rows_per_second(url: str, patients: list[dict[str, Any]], runs: int) -> float:
    """Return the median over the runs; each sends batches of `JSON_ROWS` one by one over one connection."""
    body = json.dumps(patients[:JSON_ROWS]).encode()
    address = urlsplit(url)
    connection = HTTPConnection(str(address.hostname), address.port, timeout=60)
    found = []
    for _ in range(runs):
        began = time.perf_counter()
        rows = 0
        while time.perf_counter() - began < 2:
            connection.request("POST", address.path, body, {"content-type": "application/json"})
            with connection.getresponse() as answer:
                rows += json.load(answer)["count"]
        found.append(rows / (time.perf_counter() - began))
    connection.close()
    return statistics.median(found)


def csv_upload(url: str, pid: int, patients: list[dict[str, Any]], rows: int) -> CsvRun:
    """Upload `rows` rows and read the response as it arrives."""
    text = io.StringIO()
    writer = csv.DictWriter(text, patients[0], lineterminator="\n")
    writer.writeheader()
    for number in range(rows):
        writer.writerow(patients[number % len(patients)])
    body = text.getvalue().encode()
    # Resets the kernel's peak of this process.
    with open(f"/proc/{pid}/clear_refs", "w") as file:  # noqa: PTH123 - no ordinary file
        file.write("5")
    before = _megabytes(pid, "VmRSS")
    began = time.perf_counter()
    request = urllib.request.Request(url, body, {"content-type": "text/csv"})
    lines = 0
    with urllib.request.urlopen(request, timeout=300) as answer:
        while part := answer.read(_PART):
            lines += part.count(b"\n")
    seconds = time.perf_counter() - began
    if lines != rows + 1:
        raise RuntimeError(f"{rows} rows were sent, {lines - 1} came back")
    return CsvRun(rows, seconds, _megabytes(pid, "VmHWM") - before)


def _megabytes(pid: int, name: str) -> float:
    with open(f"/proc/{pid}/status") as file:  # noqa: PTH123 - no ordinary file
        return next(int(value) for value in _fields(file, name)) / 1024


def _fields(lines: Iterator[str], name: str) -> Iterator[str]:
    return (line.split()[1] for line in lines if line.startswith(f"{name}:"))
