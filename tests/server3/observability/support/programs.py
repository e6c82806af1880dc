"""The real monitoring programs, each on a free loopback port and in its own folder."""

import os
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from server3.api.support.tracking import CHECKOUT, free_port

OBSERVABILITY = CHECKOUT / "server3-serving" / "observability"
STATSD_EXPORTER = "v0.29.0"


def unavailable(message: str) -> None:
    """Fail in CI if a part is missing, and skip elsewhere."""
    if os.environ.get("CI"):
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


def find(name: str) -> str:
    """Return the path of a program: Debian's exporters are named prometheus-NAME."""
    for candidate in (name, f"prometheus-{name}"):
        if found := shutil.which(candidate, path=f"{os.environ['PATH']}:/usr/sbin:/sbin"):
            return found
    unavailable(f"{name} is missing: install the package prometheus-{name}")
    raise AssertionError


def statsd_exporter() -> str:
    """Return the path of statsd_exporter, which Debian does not have: built once from its Go module."""
    if found := shutil.which("statsd_exporter"):
        return found
    built = CHECKOUT / ".cache" / "go" / f"statsd_exporter-{STATSD_EXPORTER}"
    if built.exists():
        return str(built)
    go = shutil.which("go", path=f"{os.environ['PATH']}:/usr/local/go/bin")
    if go is None:
        unavailable("statsd_exporter is missing, and there is no Go (1.25 or newer) to build it with")
        raise AssertionError
    built.parent.mkdir(parents=True, exist_ok=True)
    folder = built.parent / f"build-{os.getpid()}"
    subprocess.run(
        [go, "install", f"github.com/prometheus/statsd_exporter@{STATSD_EXPORTER}"],
        env={**os.environ, "GOBIN": str(folder)},
        check=True,
        capture_output=True,
    )
    (folder / "statsd_exporter").replace(built)
    folder.rmdir()
    return str(built)


def answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=2).close()  # noqa: S310
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def wait_until(condition: Callable[[], object], what: str, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"it did not come to pass within {seconds:.0f} s: {what}"
        time.sleep(0.1)


@contextmanager
def running(
    command: list[str], folder: Path, ready: str, environment: Mapping[str, str] | None = None
) -> Iterator[None]:
    """Run a program until the block ends; the block starts when the address `ready` responds."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "log"
    with log.open("ab") as file:
        process = subprocess.Popen(
            command, cwd=folder, stdout=file, stderr=file, env={**os.environ, **(environment or {})}
        )
    try:
        wait_until(lambda: process.poll() is not None or answers(ready), command[0])
        assert process.poll() is None, log.read_text()[-3000:]
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def exporter(name: str, folder: Path, *arguments: str, **environment: str) -> Iterator[str]:
    """Run one of Prometheus' exporters; yield its address, host and port."""
    address = f"127.0.0.1:{free_port()}"
    command = [find(name), f"--web.listen-address={address}", *arguments]
    with running(command, folder, f"http://{address}/metrics", environment):
        yield address


@contextmanager
def statsd(folder: Path) -> Iterator[tuple[str, int]]:
    """Run statsd_exporter with the mapping of Airflow's metrics; yield its address and its UDP port."""
    address, udp = f"127.0.0.1:{free_port()}", free_port()
    command = [
        statsd_exporter(), f"--web.listen-address={address}", f"--statsd.listen-udp=127.0.0.1:{udp}",
        "--statsd.listen-tcp=", f"--statsd.mapping-config={OBSERVABILITY / 'statsd' / 'airflow.yml'}",
    ]  # fmt: skip
    with running(command, folder, f"http://{address}/metrics"):
        yield address, udp


@contextmanager
def alertmanager(folder: Path, config: Path) -> Iterator[str]:
    address = f"127.0.0.1:{free_port()}"
    command = [
        find("alertmanager"), f"--config.file={config}", f"--web.listen-address={address}",
        f"--storage.path={folder / 'data'}", "--cluster.listen-address=",
    ]  # fmt: skip
    with running(command, folder, f"http://{address}/-/ready"):
        yield address


@contextmanager
def retrain(folder: Path, airflow: str = "http://127.0.0.1:9") -> Iterator[str]:
    """Run the retraining webhook against an Airflow, by default none; yield its address."""
    address = f"127.0.0.1:{free_port()}"
    environment = {
        "READMISSION_RETRAIN_PORT": address.rpartition(":")[2],
        "READMISSION_RETRAIN_AIRFLOW_URL": airflow,
        "READMISSION_RETRAIN_STATE": str(folder / "retrain.json"),
    }
    command = [str(CHECKOUT / ".venvs/retrain/bin/python"), "-m", "readmission_retrain"]
    with running(command, folder, f"http://{address}/health/live", environment):
        yield address
