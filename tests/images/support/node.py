"""One server's pods as containers, run as its manifests say: environment, volumes, user, limits, node ports.

What a kubelet does with a pod, and no more: init containers in turn, `$(NAME)` in values and commands,
ConfigMaps and Secrets as files, claims and empty volumes as folders of the pod's group, and Services as
names on the network.
"""

import base64
import os
import re
import secrets
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from images.support import bases
from images.support.docker import Docker
from manifests.support.objects import Object, Workload, of_kind, plain, workloads

PULLED = {"mysql": bases.MYSQL, "nginxinc/nginx-unprivileged": bases.NGINX}
MEBIBYTE = {"Mi": 1, "Gi": 1024}


class Node:
    """A server of the system: its network, its folders, its containers."""

    def __init__(self, docker: Docker, name: str, subnet: str, folder: Path) -> None:
        self.docker = docker
        self.name = name
        self.address = f"{subnet}.1"
        self.nobody = f"{subnet}.254"
        self.folder = folder
        self.objects: Sequence[Object] = ()
        self.containers: dict[str, str] = {}
        self.users: dict[str, int] = {}
        self._ran: set[tuple[object, ...]] = set()
        docker.run(
            "network", "create", f"--subnet={subnet}.0/24", f"--gateway={self.address}", f"node-{name}"
        )

    def claim(self, name: str) -> Path:
        """Return the folder behind a PersistentVolumeClaim."""
        return self.folder / "claims" / name

    def start(self, name: str) -> None:
        """Run the init containers of a Deployment or StatefulSet and start its containers of our images."""
        self._run_pod(self._workload(name, ("Deployment", "StatefulSet")))

    def finish(self, name: str, *instead: str) -> str:
        """Run a Job to its end and return its output. `instead` replaces its command."""
        return self._run_pod(self._workload(name, ("Job",)), instead)

    @property
    def set_up_jobs(self) -> list[str]:
        """Run the Jobs that create databases, users, buckets and so on."""
        jobs = of_kind(self.objects, "Job")
        return [
            one["metadata"]["name"]
            for one in jobs
            if one["metadata"].get("labels", {}).get("readmission/setup") == "true"
        ]

    def wait_until_healthy(self, *names: str, seconds: float = 600) -> None:
        """Run each image's health command until it succeeds."""
        deadline = time.monotonic() + seconds
        for name in names:
            container = self.containers[name]
            known: Any = self.docker.inspect(container)
            health: Any = self.docker.inspect(known["Config"]["Image"])["Config"]
            kind, *command = health["Healthcheck"]["Test"]
            assert kind == "CMD"
            while (asked := self.docker.call("exec", container, *command)).returncode:
                state: Any = self.docker.inspect(container)["State"]
                said = f"{container}: {state['Status']}, {asked.stdout}{asked.stderr}\n{self.logs(name)}"
                assert state["Running"], said
                assert time.monotonic() < deadline, said
                time.sleep(1)

    def execute(self, name: str, *command: str) -> str:
        """Run a command in a container."""
        return self.docker.run("exec", self.containers[name], *command)

    def logs(self, name: str) -> str:
        """Return the last lines of a container's output."""
        return self.docker.run("logs", "--tail=60", self.containers[name])

    def _workload(self, name: str, kinds: tuple[str, ...]) -> Workload:
        return next(one for one in workloads(self.objects) if one.name == name and one.kind in kinds)

    def _run_pod(self, workload: Workload, instead: Sequence[str] = ()) -> str:
        said = ""
        for container in workload.pod.get("initContainers", []):
            # Four pods of Airflow wait for the same migration; each wait starts another Airflow.
            words = (
                container["image"],
                *container.get("command", []),
                *sorted(self._environment(container).items()),
            )
            if words not in self._ran:
                said = self._container(workload, container, ends=True)
            self._ran.add(words)
        for container in workload.containers:
            if _is_run(container):
                changed = {**container, "command": list(instead), "args": []} if instead else container
                said = self._container(workload, changed, ends=workload.kind == "Job")
        return said

    def _container(self, workload: Workload, container: Object, *, ends: bool) -> str:
        environment = self._environment(container)
        image = container["image"].split("@")[0]
        image = PULLED.get(image.rpartition(":")[0], image)
        security = {**workload.pod["securityContext"], **container["securityContext"]}
        options = [
            f"--name={self.name}-{workload.name}-{container['name']}",
            f"--network=node-{self.name}",
            f"--user={security['runAsUser']}:{security['runAsGroup']}",
            *(f"--env={name}" for name in environment),
            *(f"--cap-drop={name}" for name in security["capabilities"]["drop"]),
            *(["--read-only"] if security["readOnlyRootFilesystem"] else []),
            *(["--security-opt=no-new-privileges"] if not security["allowPrivilegeEscalation"] else []),
            *(f"--memory={_mebibytes(limit)}m" for limit in [container["resources"]["limits"]["memory"]]),
            # Docker repeats the check, which is expensive if ten containers share two CPUs.
            "--no-healthcheck",
            *(f"--add-host={name}:{self.nobody}" for name in self._elsewhere()),
            *self._mounts(workload, container),
        ]
        command = [
            _expanded(word, environment)
            for word in [*container.get("command", []), *container.get("args", [])]
        ]
        if "command" in container:
            options.append(f"--entrypoint={command.pop(0)}")
        if ends:
            return self.docker.run("run", "--rm", *options, image, *command, env=environment)
        options += [f"--network-alias={name}" for name in self._services(workload)]
        options += [f"--publish={self.address}:{port}" for port in self._node_ports(workload, container)]
        self.docker.run("run", "--detach", *options, image, *command, env=environment)
        self.users[workload.name] = security["runAsUser"]
        self.containers[workload.name] = f"{self.name}-{workload.name}-{container['name']}"
        return ""

    def _environment(self, container: Object) -> dict[str, str]:
        found: dict[str, str] = {}
        for source in container.get("envFrom", []):
            for field, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
                if field in source:
                    found |= self._data(
                        kind, source[field]["name"], optional=source[field].get("optional", False)
                    )
        for variable in container.get("env", []):
            if "value" in variable:
                found[variable["name"]] = _expanded(variable["value"], found)
            else:
                [(field, reference)] = variable["valueFrom"].items()
                kind = {"secretKeyRef": "Secret", "configMapKeyRef": "ConfigMap"}[field]
                data = self._data(kind, reference["name"], optional=reference.get("optional", False))
                if reference["key"] in data or not reference.get("optional"):
                    found[variable["name"]] = data[reference["key"]]
        return found

    def _data(self, kind: str, name: str, *, optional: bool = False) -> dict[str, str]:
        for one in of_kind(self.objects, kind):
            if one["metadata"]["name"] == name:
                data = dict(one.get("data", {}))
                if kind == "Secret":
                    return {key: base64.b64decode(value).decode() for key, value in data.items()}
                return data
        assert optional, f"no {kind} {plain(name)}"
        return {}

    def _mounts(self, workload: Workload, container: Object) -> list[str]:
        group = workload.pod["securityContext"]["fsGroup"]
        claims = {
            one["metadata"]["name"]: one for one in workload.object["spec"].get("volumeClaimTemplates", [])
        }
        volumes = {one["name"]: one for one in workload.pod.get("volumes", [])}
        mounts = []
        for mount in container.get("volumeMounts", []):
            name = mount["name"]
            if name in claims:
                place = self.writable(self.claim(f"{name}-{workload.name}"), group)
            else:
                volume = volumes[name]
                if "persistentVolumeClaim" in volume:
                    place = self.writable(self.claim(volume["persistentVolumeClaim"]["claimName"]), group)
                elif "emptyDir" in volume:
                    place = self.writable(self.folder / "pods" / workload.name / name, group)
                else:
                    place = self._files(self.folder / "pods" / workload.name / name, volume, group)
            if "subPath" in mount:
                place = self.writable(place / mount["subPath"], group)
            read_only = ":ro" if mount.get("readOnly") else ""
            mounts.append(f"--volume={place}:{mount['mountPath']}{read_only}")
        return mounts

    def writable(self, place: Path, group: int) -> Path:
        """Make a folder of the pod's group, as a volume with fsGroup is."""
        if not place.exists():
            place.mkdir(parents=True)
            os.chown(place, 0, group)
            place.chmod(0o2775)
        return place

    def _files(self, place: Path, volume: Object, group: int) -> Path:
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        kind, source = (
            ("ConfigMap", volume["configMap"]) if "configMap" in volume else ("Secret", volume["secret"])
        )
        data = self._data(
            kind, source.get("name") or source["secretName"], optional=source.get("optional", False)
        )
        for item in source.get("items", [{"key": key, "path": key} for key in data]):
            path = place / item["path"]
            path.write_text(data[item["key"]])
            os.chown(path, 0, group)
            path.chmod(source.get("defaultMode", 0o644))
        return place

    def _services(self, workload: Workload) -> list[str]:
        return [one["metadata"]["name"] for one in self._selecting(workload)]

    def _elsewhere(self) -> list[str]:
        """Return the Services of pods that do not run here, whose names a cluster would still resolve."""
        run = {
            service["metadata"]["name"]
            for workload in workloads(self.objects)
            if any(_is_run(container) for container in workload.containers)
            for service in self._selecting(workload)
        }
        return sorted({one["metadata"]["name"] for one in of_kind(self.objects, "Service")} - run)

    def _node_ports(self, workload: Workload, container: Object) -> list[str]:
        named = {one.get("name"): one["containerPort"] for one in container.get("ports", [])}
        return [
            f"{port['nodePort']}:{named.get(port['targetPort'], port['targetPort'])}"
            for one in self._selecting(workload)
            for port in one["spec"]["ports"]
            if "nodePort" in port
        ]

    def _selecting(self, workload: Workload) -> list[Object]:
        return [
            one
            for one in of_kind(self.objects, "Service")
            if one["spec"].get("selector", {}).items() <= workload.labels.items()
        ]


def free_subnets(count: int) -> list[str]:
    """Return prefixes of networks that this machine does not use yet."""
    known = subprocess.run(["ip", "-4", "route"], capture_output=True, text=True, check=True).stdout
    free = [f"172.30.{number}" for number in range(1, 255) if f"172.30.{number}." not in known]
    # Another run may look at the same moment.
    first = secrets.randbelow(len(free) - count)
    return free[first : first + count]


def _is_run(container: Object) -> bool:
    """Return whether an image is ours or has a stand-in; exporters are pulled unchanged."""
    image = container["image"].split("@")[0].rpartition(":")[0]
    return image.startswith("readmission/") or image in PULLED


def _expanded(text: str, environment: Mapping[str, str]) -> str:
    return re.sub(r"\$\((\w+)\)", lambda found: environment.get(found[1], found[0]), text)


def _mebibytes(quantity: str) -> int:
    return int(quantity[:-2]) * MEBIBYTE[quantity[-2:]]
