"""Every workload follows the rules, and a violation of any rule in any workload is found."""

import pytest

from manifests.support.objects import named, of_kind, workloads
from manifests.support.policy import TOKENS, breaches


def test_every_workload_keeps_the_rules(variant, deployed):
    assert breaches(deployed(variant)) == []


def container(field, value=None, *, runs=False):
    """A violation in the first container: a field is removed or gets a value."""

    def plant(workload, _):
        one = workload.containers[0]
        *path, last = field.split(".")
        for step in path:
            one = one[step]
        if value is None:
            del one[last]
        else:
            one[last] = value

    plant.runs = runs
    return plant


def pod(field, value):
    def plant(workload, _):
        one = workload.pod
        *path, last = field.split(".")
        for step in path:
            one = one.setdefault(step, {})
        one[last] = value

    plant.runs = False
    return plant


def of_running(function):
    function.runs = True
    return function


@of_running
def no_budget(workload, objects):
    objects.remove(named(objects, "PodDisruptionBudget")[workload.name])


@of_running
def a_budget_that_blocks(workload, objects):
    named(objects, "PodDisruptionBudget")[workload.name]["spec"] |= {"maxUnavailable": 0, "minAvailable": 0}


@of_running
def a_budget_that_waits(workload, objects):
    del named(objects, "PodDisruptionBudget")[workload.name]["spec"]["unhealthyPodEvictionPolicy"]


@of_running
def a_python_for_a_probe(workload, _):
    workload.containers[0]["livenessProbe"] = {"exec": {"command": ["airflow", "jobs", "check"]}}


@of_running
def alive_is_ready(workload, _):
    workload.containers[0]["livenessProbe"] = workload.containers[0]["readinessProbe"]


@of_running
def a_gap_in_an_update(workload, _):
    if workload.kind == "Deployment":
        workload.object["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] = 1
    else:
        workload.containers[0]["lifecycle"] = {"preStop": {"sleep": {"seconds": 3600}}}


@of_running
def all_on_one_node(workload, _):
    workload.object["spec"]["replicas"] = 3
    workload.pod.pop("affinity", None)
    workload.pod.pop("topologySpreadConstraints", None)


def no_flow_named(workload, _):
    workload.template["metadata"]["labels"] = {"app.kubernetes.io/name": "nobody"}


no_flow_named.runs = False


def a_secret_as_an_argument(workload, _):
    one = workload.containers[0]
    one["env"] = [
        {"name": "WORD", "valueFrom": {"secretKeyRef": {"name": "planted", "key": "word"}}},
        {"name": "URL", "value": "mysql://user:$(WORD)@mysql"},
    ]
    one["args"] = ["--database=$(URL)"]


a_secret_as_an_argument.runs = False


@of_running
def a_secret_in_a_probe(workload, objects):
    objects.append({"kind": "Secret", "metadata": {"name": "planted"}, "data": {"WORD": "eA=="}})
    one = workload.containers[0]
    one["envFrom"] = [{"secretRef": {"name": "planted"}}]
    one["livenessProbe"] = {"exec": {"command": ["sh", "-c", 'ping "${WORD}"']}}


# Planted violation: the rule that must find it.
PLANTED = {
    "privilege escalation": (
        "pod_security",
        container("securityContext.allowPrivilegeEscalation", value=True),
    ),
    "a capability": (
        "pod_security",
        container("securityContext.capabilities", {"drop": ["ALL"], "add": ["SYS_TIME"]}),
    ),
    "privileged": ("pod_security", container("securityContext.privileged", value=True)),
    "root": ("pod_security", pod("securityContext.runAsUser", 0)),
    "perhaps root": ("pod_security", pod("securityContext.runAsNonRoot", value=False)),
    "no seccomp": ("pod_security", pod("securityContext.seccompProfile", {"type": "Unconfined"})),
    "the host's network": ("pod_security", pod("hostNetwork", value=True)),
    "a folder of the host": ("pod_security", pod("volumes", [{"name": "host", "hostPath": {"path": "/"}}])),
    "a writable root": ("read_only", container("securityContext.readOnlyRootFilesystem", value=False)),
    "an endless emptyDir": ("read_only", pod("volumes", [{"name": "tmp", "emptyDir": {}}])),
    "no limits": ("resources", container("resources.limits")),
    "no memory request": ("resources", container("resources.requests", {"cpu": "1"})),
    "no digest": ("images", container("image", "docker.io/library/mysql:9.7.2")),
    "latest": ("images", container("image", "10.20.0.12:32000/readmission/api:latest")),
    "a token": ("tokens", pod("automountServiceAccountToken", value=True)),
    "the default account": ("tokens", pod("serviceAccountName", "default")),
    "a password": ("secrets", container("env", [{"name": "MYSQL_PASSWORD", "value": "hunter2"}])),
    "a secret as an argument": ("arguments", a_secret_as_an_argument),
    "a secret in a probe": ("arguments", a_secret_in_a_probe),
    "a ConfigMap that is not there": (
        "references",
        container("envFrom", [{"configMapRef": {"name": "none"}}]),
    ),
    "no startup probe": ("probes", container("startupProbe", runs=True)),
    "no liveness probe": ("probes", container("livenessProbe", runs=True)),
    "no readiness probe": ("probes", container("readinessProbe", runs=True)),
    "alive is ready": ("probes", alive_is_ready),
    "no budget": ("budget", no_budget),
    "a budget that blocks": ("budget", a_budget_that_blocks),
    "a budget that waits": ("budget", a_budget_that_waits),
    "a Python for a probe": ("probes", a_python_for_a_probe),
    "a gap in an update": ("rollout", a_gap_in_an_update),
    "all on one node": ("spread", all_on_one_node),
    "no flow named": ("network", no_flow_named),
}


@pytest.mark.parametrize("planted", PLANTED)
def test_a_breach_is_found_in_every_workload(planted, variant, deployed):
    rule, plant = PLANTED[planted]
    objects = deployed(variant)
    broken = set()
    for workload in workloads(objects):
        allowed = rule == "tokens" and workload.pod["serviceAccountName"] in TOKENS
        if not allowed and (workload.runs or not plant.runs):
            plant(workload, objects)
            broken.add(f"{workload.kind}/{workload.name}")
    assert broken
    assert broken <= {one.where for one in breaches(objects) if one.rule == rule}


def change(kind, name, *path, value):
    def plant(objects):
        one = named(objects, kind)[name]
        for step in path[:-1]:
            one = one[step]
        one[path[-1]] = value

    return plant


AROUND = {
    "no Pod Security": ("namespace", change("Namespace", "readmission-data", "metadata", "labels", value={})),
    "nothing denied": ("network", change("NetworkPolicy", "default-deny", "spec", "egress", value=[{}])),
    "an open flow": ("network", change("NetworkPolicy", "mysql", "spec", "ingress", value=[{}])),
    "a flow from everybody": (
        "network",
        change("NetworkPolicy", "mysql", "spec", "ingress", 0, "from", value=[{"podSelector": {}}]),
    ),
    "a policy for nobody": (
        "network",
        change("NetworkPolicy", "mysql", "spec", "podSelector", value={"matchLabels": {"app": "mysqld"}}),
    ),
    "a Service for nobody": (
        "network",
        change("Service", "mysql", "spec", "selector", value={"app": "mysqld"}),
    ),
    "volumes that die": (
        "volumes",
        change("StatefulSet", "mysql", "spec", "persistentVolumeClaimRetentionPolicy", value={}),
    ),
    "claims that die": (
        "volumes",
        change("StorageClass", "readmission-retained", "reclaimPolicy", value="Delete"),
    ),
    "a Role too wide": ("roles", change("Role", "feed-schedule", "rules", 0, "verbs", value=["*"])),
    "a role without a reason": ("roles", change("Role", "feed-schedule", "metadata", "name", value="other")),
    "a Role for a Secret's name": (
        "roles",
        change("Role", "feed-schedule", "rules", 0, "resourceNames", value=["feed-5897d8852t"]),
    ),
    "no time zone": ("schedules", change("CronJob", "feed-stop", "spec", "timeZone", value="")),
    "a Job that stays": ("schedules", change("Job", "mysql-users", "metadata", "labels", value={})),
    "a password in a ConfigMap": (
        "secrets",
        lambda objects: of_kind(objects, "ConfigMap")[0]["data"].update(DATABASE_PASSWORD="hunter2"),
    ),
}


@pytest.mark.parametrize("planted", AROUND)
def test_a_breach_around_the_workloads_is_found(planted, deployed):
    rule, plant = AROUND[planted]
    objects = deployed("schedules")
    plant(objects)
    assert rule in {one.rule for one in breaches(objects)}
