"""Which ports a pod, a node or a stranger reaches: connections opened out of their own network namespaces."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

# A program of its own, since a process has one network.
DIAL = """
import json, socket, sys
from concurrent.futures import ThreadPoolExecutor
def dial(target):
    try:
        socket.create_connection(tuple(target), timeout=2).close()
        return True
    except OSError:
        # A policy rejects, so that a refusal is no sign of a way through: all targets listen.
        return False
targets = json.load(sys.stdin)
with ThreadPoolExecutor(48) as pool:
    print(json.dumps(list(pool.map(dial, targets))))
"""
# As the kubelet asks: no check of certificates, no redirects followed.
ASK = """
import http.client, json, socket, ssl, sys
from concurrent.futures import ThreadPoolExecutor
def ask(probe):
    try:
        if probe["path"] is None:
            socket.create_connection((probe["host"], probe["port"]), timeout=10).close()
            return 200
        trust = ssl._create_unverified_context()
        https = probe["scheme"] == "HTTPS"
        extra = {"context": trust} if https else {}
        kind = http.client.HTTPSConnection if https else http.client.HTTPConnection
        connection = kind(probe["host"], probe["port"], timeout=10, **extra)
        connection.request("GET", probe["path"], headers=probe["headers"])
        return connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return 0
probes = json.load(sys.stdin)
with ThreadPoolExecutor(8) as pool:
    print(json.dumps(list(pool.map(ask, probes))))
"""
Target = tuple[str, int]


@dataclass(frozen=True)
class Probe:
    """A probe over the network. Without a path it opens a connection only."""

    host: str
    port: int
    path: str | None
    headers: dict[str, str]
    scheme: str


def reached(namespace: Path | None, targets: Sequence[Target]) -> set[Target]:
    """Return the targets that answer from a network namespace; without one, from this machine."""
    opened = _inside(namespace, DIAL, list(targets))
    return {target for target, is_open in zip(targets, opened, strict=True) if is_open}


def answers(namespace: Path, probes: Mapping[str, Probe]) -> dict[str, int]:
    """Return the status that each probe gets from a network namespace; 0 if there is no answer."""
    said = _inside(namespace, ASK, [asdict(probe) for probe in probes.values()])
    return dict(zip(probes, said, strict=True))


def _inside(namespace: Path | None, program: str, given: list[Any]) -> list[Any]:
    enter = [] if namespace is None else ["nsenter", f"--net={namespace}"]
    done = subprocess.run(
        [*enter, sys.executable, "-c", program],
        input=json.dumps(given), capture_output=True, text=True, check=True,
    )  # fmt: skip
    found: list[Any] = json.loads(done.stdout)
    return found
