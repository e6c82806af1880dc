"""The running platform for the checks: the clusters, the site, its web services."""

import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from cluster.support import own_images, pulled, site
from cluster.support.clusters import Cluster
from cluster.support.commands import LabError
from cluster.support.figures import Figures
from cluster.support.lab import Lab
from cluster.support.layout import ADDRESSES, CHECKOUT, LAB, WORKERS
from cluster.support.load import Client
from cluster.support.web import Airflow, Files, Prometheus
from images.support.docker import Docker

GIVEN = "READMISSION_CLUSTERS"
"""A folder with `data.kubeconfig`, `tracking.kubeconfig` and `serving.kubeconfig` of running clusters."""
INVENTORY = "READMISSION_INVENTORY"
KEEP = "READMISSION_LAB_KEEP"
"""`1` keeps the lab's clusters after a run. The next run takes them as they are, and deploys nothing."""
SETTINGS: dict[str, dict[str, Any]] = {
    "data": {"deploy_settings": {"dataset": [f"READMISSION_DATASET={site.DATASET}"]}},
}
"""The lab's variables of each group."""


@dataclass
class Platform:
    """The platform on three clusters. `lab` is None if they are given."""

    clusters: dict[str, Cluster]
    site: site.Site
    lab: Lab | None = None
    docker: Docker | None = None
    files: Files | None = None
    images: dict[pulled.Pulled, Path] = field(default_factory=dict)
    attached: bool = False
    """Whether the lab's clusters ran before, with the platform on them."""
    figures: Figures = field(default_factory=Figures)

    @property
    def data(self) -> Cluster:
        """Return server 1's cluster."""
        return self.clusters["data"]

    @property
    def tracking(self) -> Cluster:
        """Return server 2's cluster."""
        return self.clusters["tracking"]

    @property
    def serving(self) -> Cluster:
        """Return server 3's cluster."""
        return self.clusters["serving"]

    @property
    def client(self) -> Client:
        """Return a client of the API."""
        return Client(self.serving.address, self.site.authority, self.secrets["api_client_load-test"])

    @cached_property
    def secrets(self) -> dict[str, Any]:
        """Return the site's secrets."""
        return self.site.secrets()

    @cached_property
    def airflow(self) -> Airflow:
        """Return Airflow's API."""
        return Airflow(self.data.address, self.site.authority, self.secrets["airflow_admin"])

    @cached_property
    def prometheus(self) -> Prometheus:
        """Return Prometheus' API."""
        return Prometheus(self.serving.address, self.site.authority, self.secrets["page_user_operator"])

    def settle(self, seconds: float = 600) -> None:
        """Wait until every cluster has all its pods."""
        for cluster in self.clusters.values():
            cluster.settle(seconds)

    def logged(self, ids: list[str]) -> int:
        """Return how many of these predictions the log on server 1 has."""
        found = 0
        for start in range(0, len(ids), 500):
            names = ",".join(f"'{one}'" for one in ids[start : start + 500])
            query = f"SELECT COUNT(*) FROM PredictionLog.predictions WHERE request_id IN ({names})"
            found += int(self.data.sql(query)[0][0])
        return found

    def write_inventory(
        self, settings: dict[str, dict[str, Any]] | None = None, *, workers: bool = False
    ) -> None:
        """Write the lab's inventory anew, with further variables or with the workers that are up."""
        if self.lab is None:
            raise LabError("the inventory of given clusters is their owner's")
        joined = {name: node for name, node in self.lab.workers.items() if node.processes.pid("kubelet")}
        path = site.write_inventory(self.lab.nodes, settings or SETTINGS, joined if workers else None)
        self.site = site.Site(path, self.site.release, tags=site.TAGS)


def given() -> Platform | None:
    """Return the platform on clusters that the environment names; None if it names none."""
    folder = os.environ.get(GIVEN)
    if not folder:
        return None
    inventory = os.environ.get(INVENTORY) or CHECKOUT / "ansible" / "inventory" / "hosts.yml"
    known = site.Site(Path(inventory).resolve(), own_images.release())
    clusters = {
        group: Cluster(
            group, known.address(group), ["kubectl", f"--kubeconfig={Path(folder) / group}.kubeconfig"]
        )
        for group in ADDRESSES
    }
    return Platform(clusters, known)


def keeps() -> bool:
    """Return whether the lab's clusters outlive a run."""
    return os.environ.get(KEEP) == "1"


def start(dataset: Path) -> Platform:
    """Start the lab from a clean machine: clusters, pulled images, and own images in server 2's registry."""
    lab = Lab()
    attached = keeps() and all(node.processes.pid("kubelet") for node in lab.nodes.values())
    if not attached:
        lab.clear()
        own_images.empty_full_registry()
    clusters = {
        group: Cluster(
            group,
            node.address,
            [str(lab.programs / "kubelite"), "kubectl", f"--kubeconfig={node.kubeconfig}"],
        )
        for group, node in lab.nodes.items()
    }
    commit = own_images.deployed(clusters["serving"]) if attached else own_images.release()
    inventory = site.write_inventory(lab.nodes, SETTINGS)
    made = Platform(clusters, site.Site(inventory, commit, tags=site.TAGS), lab, attached=attached)
    try:
        lab.up()
        made.files = Files(dataset.parent)
        made.docker = own_images.daemon()
        made.images = pulled.build(made.docker, LAB / "archives")
        if not attached:
            pulled.load_all(list(lab.nodes.values()), made.images)
            own_images.build_and_push(made.docker, commit)
            own_images.prune(made.docker, commit)
    except BaseException:
        if not keeps():
            stop(made)
        raise
    return made


def stop(platform: Platform) -> None:
    """Stop what `start` started."""
    if platform.files:
        platform.files.close()
    if platform.lab:
        for node in [*platform.lab.nodes.values(), *platform.lab.workers.values()]:
            if node.processes.pid("containerd"):
                forget_earlier_images(platform, node.name)
        platform.lab.down()
    if platform.docker:
        platform.docker.stop()


def forget_earlier_images(platform: Platform, name: str) -> None:
    """Remove from a node's cache what it pulled of earlier commits."""
    if platform.lab is None:
        return
    node = {**platform.lab.nodes, **platform.lab.workers}[name]
    tag = platform.site.release[:12]
    for image in node.ctr("images", "ls", "-q").split():
        if "/readmission/" in image and not image.endswith((tag, f"@sha256:{tag}")) and "@" not in image:
            node.ctr("images", "rm", image, check=False)


WORKER_OF = {name.rpartition("-")[0]: name for name in WORKERS}
"""The worker of each group."""
