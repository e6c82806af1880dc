"""The whole lab: three clusters, their workers, and the way back to a clean machine.

Also a command, for a look by hand: `python -m cluster.support.lab up|down|status` with `tests` on PYTHONPATH.
"""

import argparse
import fcntl
import os
import shutil
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cluster.support import network, processes, programs
from cluster.support.commands import LabError
from cluster.support.layout import ADDRESSES, CACHE, LAB, WORKERS
from cluster.support.node import Node

NEEDED = {
    "containerd": "containerd", "runc": "runc", "dockerd": "docker.io", "docker-registry": "docker-registry",
    "iptables": "iptables", "ipset": "ipset", "conntrack": "conntrack", "ip": "iproute2",
    "nsenter": "util-linux", "openssl": "openssl", "mmdebstrap": "mmdebstrap",
}  # fmt: skip
PLUGINS = Path("/usr/lib/cni/ptp")


def missing() -> str | None:
    """Return why the lab cannot run on this machine; None if it can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "the lab of three clusters needs Linux and root"
    absent = sorted(package for command, package in NEEDED.items() if shutil.which(command) is None)
    if not PLUGINS.exists():
        absent.append("containernetworking-plugins")
    if absent:
        return f"the lab of three clusters needs {' '.join(absent)} (Debian: apt-get install them)"
    return None


class Lab:
    """The three clusters of one machine. Only one run at a time may have them."""

    def __init__(self) -> None:
        self.programs = programs.build()
        self.nodes = {name: Node(name, self.programs) for name in ADDRESSES}
        self.workers = {name: Node(name, self.programs) for name in WORKERS}
        self._lock = None

    def up(self, names: Sequence[str] = tuple(ADDRESSES)) -> dict[str, float]:
        """Start nodes side by side. Return the seconds that each took."""
        self._take()
        network.create_bridge()
        nodes = [{**self.nodes, **self.workers}[name] for name in names]
        with ThreadPoolExecutor(len(nodes)) as pool:
            return dict(zip(names, pool.map(Node.up, nodes), strict=True))

    def clear(self) -> None:
        """Remove everything that an earlier run left on this machine."""
        self._take()
        for node in [*self.workers.values(), *self.nodes.values()]:
            node.clear()
        # What was started beside the nodes, and not by this process.
        processes.kill(processes.of_folder(LAB))
        shutil.rmtree(LAB, ignore_errors=True)
        network.delete_bridge()

    def down(self) -> None:
        """Stop all nodes and remove their state. What they pulled stays in the cache."""
        for node in [*self.workers.values(), *self.nodes.values()]:
            if node.home.exists():
                node.down(keep=False)
        network.delete_bridge()
        shutil.rmtree(LAB, ignore_errors=True)

    def memory(self) -> int:
        """Return the memory in bytes of all processes of the lab, pods included."""
        ids = set(processes.of_folder(LAB)) | set(processes.of_groups("lab-"))
        return processes.memory(iter(ids))

    def _take(self) -> None:
        if self._lock is not None:
            return
        CACHE.mkdir(parents=True, exist_ok=True)
        self._lock = (CACHE / "lab.lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock = None
            raise LabError("another run has the lab of this machine; wait until it ends") from None


def main() -> int:
    """Start, stop or describe the lab by hand."""
    parser = argparse.ArgumentParser(description="Three Kubernetes clusters side by side on this machine.")
    parser.add_argument("action", choices=["up", "down", "status"])
    parser.add_argument(
        "nodes", nargs="*", help=f"of {', '.join([*ADDRESSES, *WORKERS])}; the clusters by default"
    )
    options = parser.parse_args()
    if reason := missing():
        sys.stderr.write(f"{reason}\n")
        return 1
    lab = Lab()
    if options.action == "up":
        for name, seconds in lab.up(options.nodes or tuple(ADDRESSES)).items():
            sys.stdout.write(f"{name}: ready after {seconds:.0f} s\n")
    elif options.action == "down":
        lab.down()
    else:
        for node in [*lab.nodes.values(), *lab.workers.values()]:
            running = [name for name in node.processes.names() if node.processes.pid(name)]
            sys.stdout.write(f"{node.name} {node.address}: {' '.join(running) or 'down'}\n")
        sys.stdout.write(f"memory: {lab.memory() // 2**20} MB\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
