"""Every pod dials every port of all three clusters; exactly the listed flows get through."""

from pathlib import Path

import pytest

from cluster.support import network
from cluster.support.layout import ADDRESSES, API_PORT, FIRST_SERVICE, FOLDERS, KUBELET_PORT, REGISTRY_PORT
from cluster.support.reach import reached
from manifests.test_flows import FLOWS, KUBERNETES, NODE_PORTS, OUTSIDE

pytestmark = pytest.mark.timeout(900)
HOSTS = {"DATA_HOST": "data", "TRACKING_HOST": "tracking", "SERVING_HOST": "serving"}
EXPORTER_PORT = 9100
SERVICE_PORT = 443
# Written with UDP in the manifests, where a connection says nothing.
UDP = {8125}


def name_of(pod):
    return pod["metadata"]["labels"]["app.kubernetes.io/name"]


def itself(name, group, addresses):
    """Return the targets that say nothing: own ports, node ports of allowed pods, and the lab's registry.

    The registry is a process of its node, with a port in the range of node ports, which kube-router leaves
    open on the node itself. In MicroK8s it is a pod behind a node port.
    """
    own = {target for target in addresses if target.startswith(f"{name}:")}
    ports = NODE_PORTS[FOLDERS[group]]
    allowed = {target.partition(":")[0] for target in FLOWS[FOLDERS[group]].get(name, ())} | {name}
    own |= {f"{group} machine:{port}" for port, app in ports.items() if app in allowed}
    return own | {f"{group} machine:{REGISTRY_PORT}"}


def machine_targets():
    """Return the ports that each machine opens by itself, and its node ports, by group."""
    return {
        group: {API_PORT, KUBELET_PORT, EXPORTER_PORT, *NODE_PORTS[folder], *extra}
        for (group, folder), extra in zip(FOLDERS.items(), ((), (REGISTRY_PORT,), ()), strict=True)
    }


@pytest.mark.parametrize("group", ADDRESSES)
def test_pods_reach_exactly_what_the_table_names(lab_only, group):
    running = lab_only
    folder, cluster = FOLDERS[group], running.clusters[group]
    cluster.settle()
    pods = {name_of(pod): pod for pod in cluster.pods(ready=True)}
    addresses = {}
    for name, pod in pods.items():
        for container in pod["spec"]["containers"]:
            for port in container.get("ports", []):
                if port.get("protocol") != "UDP":
                    addresses[f"{name}:{port['containerPort']}"] = (
                        pod["status"]["podIP"], port["containerPort"],
                    )  # fmt: skip
    for other, ports in machine_targets().items():
        addresses |= {f"{other} machine:{port}": (ADDRESSES[other], port) for port in ports}
    addresses[f"kubernetes:{SERVICE_PORT}"] = (FIRST_SERVICE, SERVICE_PORT)
    targets = sorted(set(addresses.values()))
    wrong = []
    for name, pod in pods.items():
        space = network.namespace_of_pod(lab_only.lab.nodes[group].namespace, pod["metadata"]["name"])
        found = reached(space, targets)
        opened = {target for target, address in addresses.items() if address in found}
        opened -= itself(name, group, addresses)
        wanted = {one for one in FLOWS[folder].get(name, ()) if int(one.rpartition(":")[2]) not in UDP}
        for host, port in OUTSIDE[folder].get(name, ()):
            # The Service of the Kubernetes API has an address of its own.
            in_front = (host, port) in KUBERNETES and port == SERVICE_PORT
            wanted.add(f"kubernetes:{port}" if in_front else f"{HOSTS.get(host, group)} machine:{port}")
        wrong += [f"{name} -> {target}: open, not in the table" for target in sorted(opened - wanted)]
        wrong += [f"{name} -> {target}: in the table, closed" for target in sorted(wanted - opened)]
    assert not wrong, "\n".join(wrong)
    running.figures.add(
        "NetworkPolicies", f"connections tried from pods on {group}", str(len(pods) * len(targets))
    )


@pytest.mark.parametrize("group", ADDRESSES)
def test_other_machines_reach_the_node_ports_of_the_table_alone(lab_only, group):
    """Only server 3 reaches what is for it; a stranger reaches the edge."""
    ports = NODE_PORTS[FOLDERS[group]]
    targets = [(ADDRESSES[group], port) for port in ports]
    for other in ADDRESSES:
        if other == group:
            continue
        found = {
            port for _, port in reached(Path(f"/run/netns/{lab_only.lab.nodes[other].namespace}"), targets)
        }
        wanted = {port for port, app in ports.items() if app == "edge" or other == "serving"}
        assert found == wanted, f"from {other}"
    stranger = {port for _, port in reached(None, targets)}
    assert stranger == {port for port, app in ports.items() if app == "edge"}
