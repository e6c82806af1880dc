"""The network of the lab: a bridge on this machine, and a network namespace for each node."""

import json
import re
from pathlib import Path

from cluster.support.commands import run
from cluster.support.layout import BRIDGE, GATEWAY, PODS

RESULTS = Path("/var/lib/cni/results")
"""Where CNI notes which pod got which namespace and address."""
NAMESPACES = Path("/run/netns")


def create_bridge() -> None:
    """Make the bridge; its address is this machine's own."""
    if Path(f"/sys/class/net/{BRIDGE}").exists():
        return
    run("ip", "link", "add", BRIDGE, "type", "bridge")
    run("ip", "address", "add", f"{GATEWAY}/24", "dev", BRIDGE)
    run("ip", "link", "set", BRIDGE, "up")


def delete_bridge() -> None:
    """Remove the bridge."""
    run("ip", "link", "delete", BRIDGE, check=False)


def create_namespace(name: str, address: str) -> None:
    """Make a node's network with one address on the bridge."""
    if (NAMESPACES / name).exists():
        return
    link = f"lab-{address.rpartition('.')[2]}"
    run("ip", "link", "delete", link, check=False)
    run("ip", "netns", "add", name)
    run("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", name)
    run("ip", "link", "set", link, "master", BRIDGE, "up")
    for command in (
        "ip link set lo up",
        f"ip address add {address}/24 dev eth0",
        "ip link set eth0 up",
        f"ip route add default via {GATEWAY}",
        "sysctl -q -w net.ipv4.ip_forward=1",
        "sysctl -q -w net.ipv4.conf.all.rp_filter=0",
        "sysctl -q -w net.ipv4.ip_unprivileged_port_start=1024",
        f"iptables -t nat -A POSTROUTING -s {PODS} ! -d {PODS} -j MASQUERADE",
    ):
        run("ip", "netns", "exec", name, *command.split())


def delete_namespace(name: str, *, keep: bool = False) -> None:
    """Remove a node's network and those of its pods. `keep` keeps CNI's notes, for a node that comes back."""
    for result in sorted(RESULTS.glob(f"{name}-*")):
        for space in set(re.findall(r"/netns/(cni-[0-9a-f-]+)", result.read_text())):
            run("ip", "netns", "delete", space, check=False)
        if not keep:
            result.unlink(missing_ok=True)
    run("ip", "netns", "delete", name, check=False)


def namespace_of_pod(node: str, pod: str) -> Path | None:
    """Return the network namespace of a pod of a node; None if CNI knows none."""
    for path in RESULTS.glob(f"{node}-*-eth0"):
        known = json.loads(path.read_text())
        spaces = [one["sandbox"] for one in known["result"]["interfaces"] if one.get("sandbox")]
        if ["K8S_POD_NAME", pod] in known.get("cniArgs", []) and Path(spaces[0]).exists():
            return Path(spaces[0])
    return None
