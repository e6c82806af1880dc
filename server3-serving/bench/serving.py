"""Measure how many predictions per second each server makes on one core with the same version of the model.

    python server3-serving/bench/serving.py [--out FILE.md] [--plot FILE.png] [--capacity-plot FILE.png]

Without a tracking server, the bench first makes a model: it loads, prepares and trains with server 1's own
commands, on the data set or, if none is found, on the synthetic sample. The other servers are installed from
the hashed locks next to this file, each into its own environment. The bench needs two cores, wrk, and the
load test's sources on the path, as `make bench` sets them.
"""

import argparse
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import capacity
from batches import csv_upload, json_rows_per_second
from mlflow import MlflowClient, artifacts
from report import Found, Medians, Round, section
from servers import CHECKOUT, MODEL, VENVS, Server, Version, catalogue

from readmission_loadtest.patients import draw

BENCH = Path(__file__).parent
PEER_ENVIRONMENTS = ("mlflow", "mlserver")
CONNECTIONS = (1, 8, 32)
SERVER_CORE, LOAD_CORE = 0, 1
LONGEST_SECONDS = 30
TOLERANCE = 1e-6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="write a section in Markdown to this file")
    parser.add_argument("--plot", type=Path, help="write the plot to this file")
    parser.add_argument(
        "--capacity-plot", type=Path, help="write the plot of the capacity search to this file"
    )
    parser.add_argument("--tracking-uri", help="MLflow server whose production version is measured")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=4)
    given = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("the bench needs wrk (Debian: apt-get install wrk)")
    if (os.cpu_count() or 1) <= LOAD_CORE:
        sys.exit("the bench needs two cores")
    install_peers()
    with tempfile.TemporaryDirectory(prefix="readmission-bench-") as name:
        folder = Path(name)
        with tracking_server(folder, given.tracking_uri) as uri:
            version = fetch_version(uri, folder)
            found, held = bench(version, folder, given.rounds, given.seconds, given.capacity_plot)
    text = f"{section(found)}\n{held}"
    print(text)
    if given.out:
        given.out.write_text(text, encoding="utf-8")
    if given.plot:
        draw_plot(found.medians, given.plot)


def install_peers() -> None:
    uv = VENVS / "uv/bin/uv"
    for name in PEER_ENVIRONMENTS:
        place, lock = VENVS / f"bench-{name}", BENCH / f"requirements-{name}.txt"
        stamp = VENVS / f"bench-{name}.installed"
        if stamp.exists() and stamp.stat().st_mtime >= lock.stat().st_mtime:
            continue
        print(f"setup: {name}, for comparison", flush=True)
        python = VENVS / "uv/bin/python"
        subprocess.run([uv, "venv", "--quiet", "--allow-existing", "--python", python, place], check=True)
        subprocess.run(
            [uv, "pip", "sync", "--quiet", "--require-hashes", "--python", place / "bin/python", lock],
            check=True,
        )
        stamp.touch()


@contextmanager
def tracking_server(folder: Path, uri: str | None) -> Iterator[str]:
    """Yield `uri` if it is set; otherwise start a tracking server and train a model into it."""
    if uri:
        yield uri
        return
    port = free_port()
    command = [
        VENVS / "tracking/bin/python", "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port),
        "--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}", "--workers", "1",
        "--artifacts-destination", folder / "artifacts",
    ]  # fmt: skip
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "mlflow.log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    try:
        uri = f"http://127.0.0.1:{port}"
        wait_for(f"{uri}/health")
        train(folder, uri)
        yield uri
    finally:
        server.terminate()
        server.wait()


def train(folder: Path, uri: str) -> None:
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "READMISSION_RAW_URL": f"sqlite:///{folder / 'raw.db'}",
        "READMISSION_CLEAN_URL": f"sqlite:///{folder / 'clean.db'}",
        "READMISSION_STAGING_DIR": str(folder / "staging"),
        "READMISSION_TRACKING_URI": uri,
        "READMISSION_ALLOW_SYNTHETIC": "true",
    }
    for command in ("load-all", "preprocess", "train"):
        print(f"serving: {command}", flush=True)
        subprocess.run(
            [VENVS / "data/bin/python", "-m", "readmission_data", command],
            check=True,
            env=environment,
            cwd=CHECKOUT,
            stdout=subprocess.DEVNULL,
        )


def fetch_version(uri: str, folder: Path) -> Version:
    client = MlflowClient(uri, uri)
    number = str(client.get_model_version_by_alias(MODEL, "production").version)
    source = client.get_model_version_download_uri(MODEL, number)
    place = Path(
        artifacts.download_artifacts(artifact_uri=source, dst_path=str(folder / "version"), tracking_uri=uri)
    )
    return Version(place, number, uri, json.loads((place / "input_schema.json").read_bytes()))


def bench(
    version: Version, folder: Path, rounds: int, seconds: int, capacity_plot: Path | None
) -> tuple[Found, str]:
    patients = draw(version.schema, 10_000, seed=20140101)
    servers = catalogue(version, folder, free_port)
    try:
        for server in servers:
            print(f"serving: start {server.name}", flush=True)
            server.start(SERVER_CORE, folder)
        compare_answers(servers, patients[:20])
        medians = measure(servers, patients[:200], folder, rounds, seconds)
        for server in servers[1:]:
            server.stop()
        ours = servers[0]
        url = f"http://127.0.0.1:{ours.port}/predict_batch"
        os.sched_setaffinity(0, {LOAD_CORE})
        rows = json_rows_per_second(url, patients, rounds)
        uploads = [csv_upload(url, ours.pid, patients, count) for count in (10_000, 100_000, 400_000)]
        ours.stop()
        print("serving: capacity", flush=True)
        logging = servers[1]
        logging.start(SERVER_CORE, folder)
        logging.wait(patients[0])
        held = capacity.search(logging, LOAD_CORE, folder, capacity_plot)
    finally:
        for server in servers:
            server.stop()
    dataset = version.schema["dataset"]
    candidate, synthetic = version.schema["candidate"], dataset["synthetic"]
    return Found(medians, seconds, rounds, rows, uploads, candidate, synthetic), held


def compare_answers(servers: list[Server], patients: list[dict[str, Any]]) -> None:
    """Raise `RuntimeError` unless all servers return the same risks."""
    for server in servers:
        server.wait(patients[0])
    for patient in patients:
        expected = servers[0].ask(patient)
        for server in servers[1:]:
            risk = server.ask(patient)
            if risk is not None and (expected is None or not abs(risk - expected) <= TOLERANCE):
                raise RuntimeError(f"{server.name} returned {risk}, this project {expected}")


def measure(
    servers: list[Server], patients: list[dict[str, Any]], folder: Path, rounds: int, seconds: int
) -> Medians:
    runs: dict[str, dict[int, list[Round]]] = {
        server.name: {count: [] for count in CONNECTIONS} for server in servers
    }
    for turn in range(rounds):
        for server in servers:
            bodies = folder / "bodies.jsonl"
            bodies.write_text("\n".join(json.dumps(server.body(patient)) for patient in patients))
            load(server, 1, 1, bodies)
            for count in CONNECTIONS:
                run = load(server, count, seconds, bodies)
                runs[server.name][count].append(run)
                print(
                    f"serving: round {turn + 1}, {server.name}, {count}: {run.per_second:,.0f}/s", flush=True
                )
    return {
        name: {
            count: Round(
                statistics.median(run.per_second for run in found),
                statistics.median(run.p50 for run in found),
                statistics.median(run.p99 for run in found),
            )
            for count, found in by_connections.items()
        }
        for name, by_connections in runs.items()
    }


def load(server: Server, connections: int, seconds: int, bodies: Path) -> Round:
    run = subprocess.run(
        [
            "taskset", "-c", str(LOAD_CORE), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s",
            "--timeout", "30s", "-s", BENCH / "post.lua", server.url,
        ],
        env={**os.environ, "BENCH_BODIES": str(bodies)},
        capture_output=True,
        text=True,
        check=True,
    )  # fmt: skip
    found = re.search(r"BENCH (\{.*\})", run.stdout)
    if found is None:
        raise RuntimeError(f"wrk printed no result: {run.stdout[-500:]}{run.stderr[-500:]}")
    told = json.loads(found[1])
    if told["failed"]:
        raise RuntimeError(f"{server.name}: {told['failed']} requests failed")
    if told["requests"] < 2 * connections and seconds < LONGEST_SECONDS:
        # Too few answers to mean anything: the server is slow, so it gets more time.
        return load(server, connections, min(seconds * 4, LONGEST_SECONDS), bodies)
    return Round(told["requests"] * 1e6 / told["microseconds"], told["p50"] / 1e3, told["p99"] / 1e3)


def draw_plot(medians: Medians, target: Path) -> None:
    values = {
        name: {count: run.per_second for count, run in by_connections.items()}
        for name, by_connections in medians.items()
    }
    # matplotlib belongs to server 1's environment.
    subprocess.run(
        [VENVS / "data/bin/python", BENCH / "plot.py", target],
        input=json.dumps(values),
        text=True,
        check=True,
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(url: str, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            urllib.request.urlopen(url, timeout=1).close()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.3)
        else:
            return


if __name__ == "__main__":
    main()
