"""Kubernetes objects as the rules use them: workloads of any kind with their pods."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]
RUNNING = ("Deployment", "StatefulSet", "DaemonSet")


@dataclass(frozen=True)
class Workload:
    """An object that creates pods, and its pod template."""

    object: Object
    template: Object

    @property
    def kind(self) -> str:
        return str(self.object["kind"])

    @property
    def name(self) -> str:
        return str(self.object["metadata"]["name"])

    @property
    def runs(self) -> bool:
        """Whether it runs permanently, and so needs probes and a disruption budget."""
        return self.kind in RUNNING

    @property
    def labels(self) -> dict[str, str]:
        return dict(self.template.get("metadata", {}).get("labels", {}))

    @property
    def pod(self) -> Object:
        spec: Object = self.template["spec"]
        return spec

    @property
    def containers(self) -> list[Object]:
        return list(self.pod["containers"])

    @property
    def all_containers(self) -> list[Object]:
        return [*self.pod.get("initContainers", []), *self.containers]


def workloads(objects: Sequence[Object]) -> list[Workload]:
    """Return all objects that create pods."""
    found = []
    for one in objects:
        if one["kind"] == "CronJob":
            found.append(Workload(one, one["spec"]["jobTemplate"]["spec"]["template"]))
        elif one["kind"] in (*RUNNING, "Job", "ReplicaSet"):
            found.append(Workload(one, one["spec"]["template"]))
        elif one["kind"] == "Pod":
            found.append(Workload(one, one))
    return found


def of_kind(objects: Sequence[Object], kind: str) -> list[Object]:
    return [one for one in objects if one["kind"] == kind]


def named(objects: Sequence[Object], kind: str) -> dict[str, Object]:
    return {one["metadata"]["name"]: one for one in of_kind(objects, kind)}


def plain(name: str) -> str:
    """Return a generated name without the hash of its content."""
    return re.sub(r"-[0-9a-z]{10}$", "", name)


def selects(selector: Object, labels: dict[str, str]) -> bool:
    """Return whether a label selector matches these labels; an empty one matches all."""
    assert not selector.get("matchExpressions"), "the rules here read matchLabels alone"
    return all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())


def references(workload: Workload) -> Iterator[tuple[str, str, str | None]]:
    """Yield kind, name and key of each ConfigMap, Secret and claim that the pod names; no key: all of it."""
    for container in workload.all_containers:
        yield from _of_container(container)
    yield from _of_volumes(workload.pod.get("volumes", []))


def _of_container(container: Object) -> Iterator[tuple[str, str, str | None]]:
    for source in container.get("envFrom", []):
        for field, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
            if field in source:
                yield kind, source[field]["name"], None
    for variable in container.get("env", []):
        origin = variable.get("valueFrom", {})
        for field, kind in (("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")):
            if field in origin:
                yield kind, origin[field]["name"], origin[field]["key"]


def _of_volumes(volumes: Sequence[Object]) -> Iterator[tuple[str, str, str | None]]:
    for volume in volumes:
        if "configMap" in volume:
            yield "ConfigMap", volume["configMap"]["name"], None
        if "secret" in volume:
            keys = [item["key"] for item in volume["secret"].get("items", [])]
            for key in keys or [None]:
                yield "Secret", volume["secret"]["secretName"], key
        if "persistentVolumeClaim" in volume:
            yield "PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"], None
