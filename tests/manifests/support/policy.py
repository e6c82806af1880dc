"""What every workload has to keep: `breaches` reads built objects and returns what is broken, a line each."""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from manifests.support.network import Network
from manifests.support.objects import Object, Workload, named, of_kind, references, selects, workloads


class Breach(NamedTuple):
    """A rule, the object that breaks it, and how."""

    rule: str
    where: str
    what: str


# Who may ask Kubernetes itself, and why nothing less will do.
TOKENS = {
    "feed-schedule": "scales the feed, which only Kubernetes can do",
    "airflow-scheduler": "starts the pods of tasks under the KubernetesExecutor",
    "kube-state-metrics": "reports the state of pods and jobs, which only Kubernetes knows",
}

# What a probe may start: programs that answer within milliseconds. Python and a shell take seconds on a busy
# node, and a probe that times out kills a healthy process.
CHEAP_PROGRAMS = {"mysqladmin", "test"}

# The kinds of the resources that Roles name.
RESOURCES = {
    "cronjobs": "CronJob",
    "deployments": "Deployment",
    "jobs": "Job",
    "persistentvolumeclaims": "PersistentVolumeClaim",
    "pods": "Pod",
}

# Kubernetes: Pod Security Standards, profile "restricted".
RESTRICTED_VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected",
    "secret",
}  # fmt: skip
HOST_FIELDS = ("hostNetwork", "hostPID", "hostIPC", "hostUsers", "hostAliases")
OWN_IMAGE = re.compile(r"(?:[\w.-]+:\d+/)?readmission/[a-z]+:[\w.-]+")
PINNED_IMAGE = re.compile(r"[\w./-]+:[\w.-]+@sha256:[0-9a-f]{64}")
VARIABLE = re.compile(r"\$[({]?(\w+)")
# The shell writes it itself: no process has it as an argument.
PIPED = re.compile(r'printf %s "\$\w+" \|')
SECRET_NAME = re.compile(r"(?i)(password|passwd|secret|token|api_key|access_key|private)")


def breaches(objects: Sequence[Object]) -> list[Breach]:
    """Return what these objects break, in the order of the objects."""
    network = Network(objects)
    found: list[Breach] = []
    for workload in workloads(objects):
        where = f"{workload.kind}/{workload.name}"
        for rule in (pod_security, read_only, resources, images, tokens, secrets, arguments):
            found += (Breach(rule.__name__, where, what) for what in rule(workload, objects))
        if workload.runs:
            for rule in (probes, budget, rollout, spread):
                found += (Breach(rule.__name__, where, what) for what in rule(workload, objects))
        found += (Breach("references", where, what) for what in dangling(workload, objects))
        if not network.named_policies(workload):
            found.append(Breach("network", where, "no policy names a flow of it"))
    found += (Breach("namespace", f"Namespace/{n}", what) for n, what in namespaces(objects))
    found += (Breach("network", "NetworkPolicy", what) for what in network.breaches())
    found += (Breach("volumes", where, what) for where, what in volumes(objects))
    found += (Breach("roles", where, what) for where, what in roles(objects))
    found += (Breach("secrets", where, what) for where, what in plain_secrets(objects))
    found += (Breach("schedules", where, what) for where, what in schedules(objects))
    return found


def pod_security(workload: Workload, _: Sequence[Object]) -> Iterator[str]:
    pod, context = workload.pod, workload.pod.get("securityContext", {})
    for field in HOST_FIELDS:
        if field in pod:
            yield f"{field} is set"
    for volume in pod.get("volumes", []):
        if strange := set(volume) - {"name"} - RESTRICTED_VOLUMES:
            yield f"volume {volume['name']} is a {', '.join(strange)}"
    if context.get("runAsNonRoot") is not True:
        yield "runAsNonRoot is not true"
    if not context.get("runAsUser"):
        yield "no user, or root"
    if context.get("seccompProfile", {}).get("type") not in {"RuntimeDefault", "Localhost"}:
        yield "no seccomp profile"
    if strange := set(context) & {"sysctls", "seLinuxOptions", "windowsOptions", "appArmorProfile"}:
        yield f"{', '.join(sorted(strange))} is set"
    for container in workload.all_containers:
        yield from container_security(container)


def container_security(container: Object) -> Iterator[str]:
    own = container.get("securityContext", {})
    if own.get("allowPrivilegeEscalation") is not False:
        yield f"{container['name']}: allowPrivilegeEscalation is not false"
    if own.get("capabilities", {}).get("drop") != ["ALL"] or own["capabilities"].get("add"):
        yield f"{container['name']}: keeps capabilities"
    if own.get("privileged") or own.get("runAsUser") == 0 or own.get("runAsNonRoot") is False:
        yield f"{container['name']}: privileged or root"
    if own.get("seccompProfile", {}).get("type") == "Unconfined" or "procMount" in own:
        yield f"{container['name']}: unconfined"
    if any("hostPort" in port for port in container.get("ports", [])):
        yield f"{container['name']}: has a port of the host"


def read_only(workload: Workload, _: Sequence[Object]) -> Iterator[str]:
    for container in workload.all_containers:
        if container.get("securityContext", {}).get("readOnlyRootFilesystem") is not True:
            yield f"{container['name']}: its root file system can be written"
    for volume in workload.pod.get("volumes", []):
        if "emptyDir" in volume and "sizeLimit" not in volume["emptyDir"]:
            yield f"volume {volume['name']} may fill the disk"


def resources(workload: Workload, _: Sequence[Object]) -> Iterator[str]:
    for container in workload.all_containers:
        for kind in ("requests", "limits"):
            if missing := {"cpu", "memory"} - set(container.get("resources", {}).get(kind, {})):
                yield f"{container['name']}: {kind} lack {', '.join(sorted(missing))}"


def images(workload: Workload, _: Sequence[Object]) -> Iterator[str]:
    for container in workload.all_containers:
        image = container["image"]
        if not (OWN_IMAGE.fullmatch(image) or PINNED_IMAGE.fullmatch(image)) or ":latest" in image:
            yield f"{container['name']}: {image} is neither built here nor pinned by tag and digest"


def tokens(workload: Workload, objects: Sequence[Object]) -> Iterator[str]:
    account = workload.pod.get("serviceAccountName")
    if account is None or account not in named(objects, "ServiceAccount"):
        yield f"no service account of its own: {account}"
    elif named(objects, "ServiceAccount")[account].get("automountServiceAccountToken") is not False:
        yield f"service account {account} hands out tokens"
    if workload.pod.get("automountServiceAccountToken") is not False and account not in TOKENS:
        yield "has a token"


def secrets(workload: Workload, _: Sequence[Object]) -> Iterator[str]:
    for container in workload.all_containers:
        for variable in container.get("env", []):
            name, value = variable["name"], variable.get("value")
            if value and SECRET_NAME.search(name) and not value.startswith(("/", "$(")):
                yield f"{container['name']}: {name} stands in the manifest"


def arguments(workload: Workload, objects: Sequence[Object]) -> Iterator[str]:
    """A secret among a command's arguments is in the list of processes, for every user of the node."""
    for container in workload.all_containers:
        actions = [container.get(name, {}) for name in ("startupProbe", "livenessProbe", "readinessProbe")]
        actions += container.get("lifecycle", {}).values()
        words = [*container.get("command", []), *container.get("args", [])]
        words += [word for action in actions for word in action.get("exec", {}).get("command", [])]
        shown = {name for word in words for name in VARIABLE.findall(PIPED.sub("", word))}
        for name in sorted(shown & secret_variables(container, objects)):
            yield f"{container['name']}: {name} of a Secret is an argument"


def secret_variables(container: Object, objects: Sequence[Object]) -> set[str]:
    """Return a container's variables that come from Secrets or are composed of such variables."""
    there = named(objects, "Secret")
    found = {
        source.get("prefix", "") + key
        for source in container.get("envFrom", [])
        if "secretRef" in source
        for key in there[source["secretRef"]["name"]]["data"]
    }
    for variable in container.get("env", []):
        parts = VARIABLE.findall(variable.get("value", ""))
        if "secretKeyRef" in variable.get("valueFrom", {}) or not found.isdisjoint(parts):
            found.add(variable["name"])
    return found


def plain_secrets(objects: Sequence[Object]) -> Iterator[tuple[str, str]]:
    for one in of_kind(objects, "ConfigMap"):
        for name, value in one.get("data", {}).items():
            if value and SECRET_NAME.search(name) and not value.startswith("/"):
                yield f"ConfigMap/{one['metadata']['name']}", f"{name} belongs in a Secret"


def probes(workload: Workload, _: Sequence[Object]) -> Iterator[str]:
    for container in workload.containers:
        kinds = ("startupProbe", "livenessProbe", "readinessProbe")
        if missing := [kind for kind in kinds if kind not in container]:
            yield f"{container['name']}: no {', '.join(missing)}"
        elif container["livenessProbe"] == container["readinessProbe"]:
            yield f"{container['name']}: alive and ready are one"
        for kind in kinds:
            program = container.get(kind, {}).get("exec", {}).get("command", ["test"])[0]
            if program not in CHEAP_PROGRAMS:
                yield f"{container['name']}: {kind} starts {program}, which a busy node makes time out"


def budget(workload: Workload, objects: Sequence[Object]) -> Iterator[str]:
    budgets = [
        one["spec"]
        for one in of_kind(objects, "PodDisruptionBudget")
        if selects(one["spec"]["selector"], workload.labels)
    ]
    if len(budgets) != 1:
        yield f"{len(budgets)} PodDisruptionBudgets"
    elif budgets[0].get("maxUnavailable", 1) == 0 or budgets[0].get("minAvailable", 0) >= least(
        workload, objects
    ):
        yield "its budget never lets a node be drained"
    elif budgets[0].get("unhealthyPodEvictionPolicy") != "AlwaysAllow":
        yield "its budget holds up a drain while no pod is ready"


def least(workload: Workload, objects: Sequence[Object]) -> int:
    """Return how many pods run at least."""
    for scaler in of_kind(objects, "HorizontalPodAutoscaler"):
        target = scaler["spec"]["scaleTargetRef"]
        if (target["kind"], target["name"]) == (workload.kind, workload.name):
            return int(scaler["spec"]["minReplicas"])
    return int(workload.object["spec"].get("replicas", 1))


def rollout(workload: Workload, _: Sequence[Object]) -> Iterator[str]:
    spec = workload.object["spec"]
    if workload.kind == "Deployment":
        rolling = spec.get("strategy", {}).get("rollingUpdate", {})
        if rolling.get("maxUnavailable") != 0 or not rolling.get("maxSurge"):
            yield "an update takes a pod away before the next is ready"
        elif "type" not in spec["strategy"]:
            yield "its strategy has no type: every apply would change it"
    for container in workload.containers:
        pause = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        drain = sum(
            int(one.get("value", 0))
            for one in container.get("env", [])
            if one["name"].endswith("DRAIN_SECONDS")
        )
        if pause + drain >= workload.pod.get("terminationGracePeriodSeconds", 30):
            yield f"{container['name']}: is killed before its {pause + drain} seconds are over"


def spread(workload: Workload, objects: Sequence[Object]) -> Iterator[str]:
    apart = workload.pod.get("topologySpreadConstraints") or workload.pod.get("affinity", {}).get(
        "podAntiAffinity"
    )
    if least(workload, objects) > 1 and not apart:
        yield "its pods may all stand on one node"


def dangling(workload: Workload, objects: Sequence[Object]) -> Iterator[str]:
    for kind, name, key in references(workload):
        there = named(objects, kind)
        # A Secret comes from the site.
        if kind != "Secret" and name not in there:
            yield f"{kind} {name} is not there"
        elif kind == "ConfigMap" and key is not None and key not in there[name]["data"]:
            yield f"{kind} {name} has no {key}"


def namespaces(objects: Sequence[Object]) -> Iterator[tuple[str, str]]:
    spaces = named(objects, "Namespace")
    for name, one in spaces.items():
        labels = one["metadata"].get("labels", {})
        for mode in ("enforce", "audit", "warn"):
            if labels.get(f"pod-security.kubernetes.io/{mode}") != "restricted":
                yield name, f"does not {mode} the restricted standard"
    clusterwide = {"Namespace", "StorageClass"}
    strays = {
        f"{one['kind']}/{one['metadata']['name']}"
        for one in objects
        if one["kind"] not in clusterwide and one["metadata"].get("namespace") not in spaces
    }
    if strays or len(spaces) != 1:
        yield ", ".join(spaces), f"holds not all: {', '.join(sorted(strays))}"


def volumes(objects: Sequence[Object]) -> Iterator[tuple[str, str]]:
    classes = named(objects, "StorageClass")
    for name, one in classes.items():
        if one.get("reclaimPolicy") != "Retain":
            yield f"StorageClass/{name}", "what a claim held dies with the claim"
    claims = [
        (f"PersistentVolumeClaim/{n}", one) for n, one in named(objects, "PersistentVolumeClaim").items()
    ]
    for name, one in named(objects, "StatefulSet").items():
        policy = one["spec"].get("persistentVolumeClaimRetentionPolicy")
        if policy != {"whenDeleted": "Retain", "whenScaled": "Retain"}:
            yield f"StatefulSet/{name}", "its volumes die with it"
        claims += [(f"StatefulSet/{name}", claim) for claim in one["spec"].get("volumeClaimTemplates", [])]
    for where, claim in claims:
        shared = claim["spec"]["accessModes"] == ["ReadWriteMany"]
        if not shared and claim["spec"].get("storageClassName") not in classes:
            yield where, "is not of a class that retains"


def roles(objects: Sequence[Object]) -> Iterator[tuple[str, str]]:
    for kind in ("ClusterRole", "ClusterRoleBinding"):
        for name in named(objects, kind):
            yield f"{kind}/{name}", "reaches beyond its namespace"
    for name, one in named(objects, "Role").items():
        if name not in TOKENS:
            yield f"Role/{name}", "no reason is written down for it"
        for rule in one["rules"]:
            words = {*rule["verbs"], *rule["resources"], *rule["apiGroups"]}
            if words & {"*", "secrets", "escalate", "bind", "impersonate"}:
                yield f"Role/{name}", "is too wide"
            kinds = {RESOURCES[resource.partition("/")[0]] for resource in rule["resources"]}
            for wanted in rule.get("resourceNames", []):
                # kustomize takes a name for a generated Secret's or ConfigMap's if one has it.
                if not any(wanted in named(objects, kind) for kind in kinds):
                    yield f"Role/{name}", f"names {wanted}, which is no {' or '.join(sorted(kinds))}"


def schedules(objects: Sequence[Object]) -> Iterator[tuple[str, str]]:
    for name, one in named(objects, "CronJob").items():
        if not one["spec"].get("timeZone") or one["spec"].get("concurrencyPolicy") != "Forbid":
            yield f"CronJob/{name}", "needs a time zone, and may not overlap itself"
    for name, one in named(objects, "Job").items():
        if one["metadata"]["labels"].get("readmission/setup") != "true":
            yield f"Job/{name}", "cannot be replaced by a deploy: it lacks the label readmission/setup"
