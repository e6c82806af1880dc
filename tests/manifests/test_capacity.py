"""A server's requests fit on its machine even while a release replaces every pod."""

import pytest
import yaml

from manifests.conftest import CHECKOUT
from manifests.support.kustomize import SERVERS
from manifests.support.objects import named, workloads

# What MicroK8s' own pods ask for (CoreDNS, Calico, the metrics server), in CPUs and GiB as all figures here.
SYSTEM = {"cpu": 0.45, "memory": 0.35}
# What no pod gets, in GiB: Kubernetes itself and the operating system.
RESERVED_MEMORY = 1.0
UNITS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30}


def cpus(text):
    return int(text[:-1]) / 1000 if text.endswith("m") else float(text)


def gib(text):
    return int(text[:-2]) * UNITS[text[-2:]] / UNITS["Gi"]


def requests(workload):
    """Return one pod's requests by resource: its containers, or its largest init container."""
    return {
        resource: max(
            sum(read(one["resources"]["requests"][resource]) for one in workload.containers),
            *(read(one["resources"]["requests"][resource]) for one in workload.all_containers),
        )
        for resource, read in (("cpu", cpus), ("memory", gib))
    }


def replicas(workload, objects):
    """Return the maximum number of its pods."""
    for scaler in named(objects, "HorizontalPodAutoscaler").values():
        if scaler["spec"]["scaleTargetRef"]["name"] == workload.name:
            return scaler["spec"]["maxReplicas"]
    return workload.object["spec"].get("replicas", 1)


def total(objects, resource):
    """Return what all pods ask for, with one pod more of the largest Deployment and the largest CronJob.

    A release makes one more pod of each Deployment. As long as the largest of them fits, it ends and makes
    room for the next, which waits until then.
    """
    asked, surges, nightly = [SYSTEM[resource]], [0.0], [0.0]
    for workload in workloads(objects):
        one = requests(workload)[resource]
        if workload.kind == "CronJob":
            nightly.append(one)
            continue
        if workload.kind == "Deployment":
            surges.append(one)
        asked.append(one if workload.kind == "Job" else one * replicas(workload, objects))
    return sum(asked) + max(surges) + max(nightly)


def machines():
    for path in sorted((CHECKOUT / "vagrant").glob("nodes*.yml")):
        for node in yaml.safe_load(path.read_text())["nodes"]:
            yield pytest.param(node, id=f"{path.name}-{node['name']}")


@pytest.mark.parametrize("node", machines())
def test_a_release_of_everything_fits_on_the_machine(node, deployed):
    server = next(one for one, name in SERVERS.items() if name == f"readmission-{node['role']}")
    assert total(deployed(server), "cpu") <= node["cpus"]
    assert total(deployed(server), "memory") <= node["memory"] / 1024 - RESERVED_MEMORY


# What a laptop of 16 GB keeps for itself.
LAPTOP_GIB, OWN_GIB = 16, 2


def test_the_guide_states_what_the_machines_take():
    def totals(name):
        nodes = yaml.safe_load((CHECKOUT / "vagrant" / name).read_text())["nodes"]
        return [sum(node[key] for node in nodes) for key in ("cpus", "memory", "disk")]

    cpus_taken, memory, disk = totals("nodes.yml")
    guide = (CHECKOUT / "docs" / "deploy.md").read_text()
    assert f"{cpus_taken} CPUs" in guide
    assert f"the machines take {memory // 1024} GB" in guide
    assert f"{disk} GB of free disk" in guide
    _, memory, small_disk = totals("nodes-small.yml")
    assert memory / 1024 <= LAPTOP_GIB - OWN_GIB
    assert small_disk <= disk
