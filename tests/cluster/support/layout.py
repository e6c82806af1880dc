"""Names, addresses and folders of the lab: three clusters side by side on one machine."""

import os
import tempfile
from pathlib import Path

CHECKOUT = Path(__file__).parents[3]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "readmission-tests"
"""Kept between runs: programs, images, what the nodes pulled. Removing it costs time only."""
LAB = Path(os.environ.get("READMISSION_LAB") or Path(tempfile.gettempdir()) / "readmission-lab")
"""The state of one run. Its path is short, since sockets lie below it."""

BRIDGE = "lab0"
NETWORK = "10.66.0"
GATEWAY = f"{NETWORK}.1"
"""This machine, as the nodes see it."""
ADDRESSES = {"data": f"{NETWORK}.11", "tracking": f"{NETWORK}.12", "serving": f"{NETWORK}.13"}
WORKERS = {f"{name}-2": f"{NETWORK}.{21 + number}" for number, name in enumerate(ADDRESSES)}

# As in MicroK8s. All clusters use the same ones, since no pod's address leaves its cluster.
PODS = "10.1.0.0/16"
SERVICES = "10.152.183.0/24"
FIRST_SERVICE = "10.152.183.1"
DNS = "10.152.183.10"
API_PORT = 16443
KUBELET_PORT = 10250
REGISTRY_PORT = 32000
REGISTRY = f"{ADDRESSES['tracking']}:{REGISTRY_PORT}"

FOLDERS = {"data": "server1-data", "tracking": "server2-tracking", "serving": "server3-serving"}
"""The folder of each group's manifests; also the name of its first host."""


def group_of(node: str) -> str:
    """Return the group of a node: a worker belongs to the cluster that it joins."""
    return node.removesuffix("-2")
