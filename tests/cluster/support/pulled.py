"""What a site pulls from public registries, put into the lab's nodes under the very names of the manifests.

No image registry is reachable. MySQL and nginx are the stand-ins of the image tests; Prometheus,
Alertmanager and the exporters are built from their Go modules, in the versions that the manifests name.
containerd keeps images by name, digest included, so the manifests stay as they are.
"""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from cluster.support import archives, programs
from cluster.support.commands import LabError
from cluster.support.layout import CACHE, CHECKOUT, FOLDERS
from cluster.support.node import Node
from images.support import bases
from images.support.docker import Docker

DOCKER = {"mysql": bases.MYSQL, "nginxinc/nginx-unprivileged": bases.NGINX}
MODULES = {
    "prom/prometheus": ("github.com/prometheus/prometheus", "./cmd/prometheus"),
    "prom/alertmanager": ("github.com/prometheus/alertmanager", "./cmd/alertmanager"),
    "prom/mysqld-exporter": ("github.com/prometheus/mysqld_exporter", "."),
    "prom/statsd-exporter": ("github.com/prometheus/statsd_exporter", "."),
    "prom/blackbox-exporter": ("github.com/prometheus/blackbox_exporter", "."),
    "registry.k8s.io/kube-state-metrics/kube-state-metrics": ("k8s.io/kube-state-metrics/v2", "."),
}
COMMANDS = {"registry.k8s.io/kube-state-metrics/kube-state-metrics": "kube-state-metrics"}
KUBECTL = "registry.k8s.io/kubectl"
# Grafana's server cannot be built from its Go module: a program answers its probes.
ANSWERED = {"grafana/grafana": ":3000"}


@dataclass(frozen=True)
class Pulled:
    """An image of the manifests that is not built here."""

    name: str
    tag: str
    digest: str

    @property
    def reference(self) -> str:
        """Return the name that containerd keeps it by."""
        first, _, rest = self.name.partition("/")
        host = "" if "." in first else "docker.io/" if rest else "docker.io/library/"
        return f"{host}{self.name}@{self.digest}"


def images_of(group: str) -> set[Pulled]:
    """Return all pinned images of a group's manifests, those of components that are off included."""
    return {
        Pulled(one["name"], one["newTag"], one["digest"])
        for folder in (CHECKOUT / FOLDERS[group] / "deploy", CHECKOUT / "ansible" / "manifests")
        for path in folder.rglob("kustomization.yaml")
        for one in _kustomization(path).get("images") or []
        if "digest" in one
    }


def build(docker: Docker, folder: Path) -> dict[Pulled, Path]:
    """Return an archive for each image of the manifests."""
    wanted = sorted({one for group in FOLDERS for one in images_of(group)}, key=lambda one: one.name)
    return {one: _archive(one, docker, folder) for one in wanted}


def load(node: Node, made: dict[Pulled, Path]) -> None:
    """Import what the node's group needs and the node does not have yet."""
    known = set(node.ctr("images", "ls", "-q").split())
    for one in images_of(node.group):
        # The archive is named by its content.
        mark = f"docker.io/lab/pulled:{made[one].stem}"
        if mark not in known or one.reference not in known:
            local = node.ctr("images", "import", "--index-name=docker.io/lab/imported:1", made[one])
            name = _imported_name(local)
            node.ctr("images", "tag", "--force", name, mark)
            node.ctr("images", "tag", "--force", name, one.reference)


def load_all(nodes: list[Node], made: dict[Pulled, Path]) -> None:
    """Import into several nodes side by side."""
    with ThreadPoolExecutor(len(nodes)) as pool:
        list(pool.map(lambda node: load(node, made), nodes))


def _archive(one: Pulled, docker: Docker, folder: Path) -> Path:
    if one.name in DOCKER:
        identity = str(docker.inspect(DOCKER[one.name])["Id"]).removeprefix("sha256:")[:12]
        target = CACHE / "archives" / f"{one.name.replace('/', '-')}-{identity}.tar"
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            part = target.with_suffix(".part")
            docker.run("save", "--output", part, DOCKER[one.name])
            part.replace(target)
        return target
    files, command = _program(one)
    # Programs are kept by content already: their archives are written anew for each run.
    key = re.sub(r"[^a-z0-9.]+", "-", f"{one.name}-{one.tag}-{programs.build().name}")
    return archives.write(folder / f"{key}.tar", f"lab/{key}:1", files, command)


def _program(one: Pulled) -> tuple[dict[str, Path], list[str]]:
    own = programs.build()
    if one.name == KUBECTL:
        return {"/bin/kubectl": own / "kubelite"}, ["/bin/kubectl"]
    if one.name in ANSWERED:
        # Its shell does nothing, and succeeds.
        return {"/probe": own / "probe", "/bin/sh": own / "probe"}, ["/probe", "serve", ANSWERED[one.name]]
    if one.name not in MODULES:
        raise LabError(f"no stand-in for the image {one.name}: add its Go module to {Path(__file__).name}")
    module, package = MODULES[one.name]
    program = programs.module(module, _version(one), package)
    name = COMMANDS.get(one.name, program.name)
    path = f"/{name}" if one.name in COMMANDS else f"/bin/{name}"
    return {path: program}, [path]


def _version(one: Pulled) -> str:
    if one.name == "prom/prometheus":
        # Its module is versioned apart: v3.14.0 is v0.314.0.
        major, minor, patch = one.tag.removeprefix("v").split(".")
        return f"v0.{major}{int(minor):02d}.{patch}"
    return one.tag


def _kustomization(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text()) or {}
    return found


def _imported_name(said: str) -> str:
    names: Iterator[str] = (
        found[1] for line in said.splitlines() if (found := re.match(r"unpacking (\S+) ", line))
    )
    return next(names)
