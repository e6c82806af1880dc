"""A site's addresses, secrets and images reach every object that needs them, and no other."""

import json
import re

import pytest
import yaml
from jinja2 import Environment

from manifests.conftest import COMPONENTS, SECRETS, site
from manifests.support.kustomize import CHECKOUT, SERVERS
from manifests.support.network import Network
from manifests.support.objects import named, of_kind, plain, references, selects, workloads

DOCUMENTATION = re.compile(r"192\.0\.2\.\d+")


@pytest.fixture(params=SERVERS)
def server(request):
    return request.param


def test_secrets_are_those_of_the_list(server, deployed):
    objects = deployed(server)
    found = {name: set() for name in SECRETS[server]}
    for workload in workloads(objects):
        for kind, name, key in references(workload):
            if kind == "Secret":
                # Each is the site's own, by the hash in its name: a new password starts new pods.
                assert name in named(objects, "Secret"), (workload.name, name)
                found[plain(name)] |= {key} if key else SECRETS[server][plain(name)]
    assert found == SECRETS[server]


def test_a_backup_by_hand_copies_the_artifacts_after_the_databases(deployed):
    """A restore combines a dump with artifacts that were copied after it, never with earlier ones."""
    jobs = of_kind(deployed("server2-tracking"), "CronJob")
    # As Kubernetes lists them: by name.
    names = sorted(
        one["metadata"]["name"]
        for one in jobs
        if one["metadata"]["labels"].get("readmission/backup") == "true"
    )
    tasks = yaml.safe_load((CHECKOUT / "ansible/roles/backup/tasks/main.yml").read_text())
    loop = next(task["loop"] for task in tasks if "loop" in task)
    order = Environment().compile_expression(loop.strip("{} "))  # noqa: S701 - no page is made of it
    assert order(backup_schedules={"stdout_lines": names}) == ["backup-mysql", "backup-artifacts"]


def test_no_documentation_address_is_left(server, deployed):
    left = [
        f"{one['kind']}/{one['metadata']['name']}"
        for one in deployed(server)
        if DOCUMENTATION.search(json.dumps(one))
    ]
    # The targets are a list that the site writes whole.
    assert {plain(name) for name in left} <= {"ConfigMap/prometheus-targets"}


def test_one_address_changes_its_places_alone(tmp_path, deployed):
    def without_hashes(objects):
        text = re.sub(r"addresses-[0-9a-z]{10}", "addresses", json.dumps(objects))
        return {(one["kind"], one["metadata"]["name"]): one for one in json.loads(text)}

    before = without_hashes(deployed("server1-data"))
    after = without_hashes(site(tmp_path, "server1-data", TRACKING_HOST="10.20.0.99"))
    changed = {name for kind, name in before if before[kind, name] != after[kind, name]}
    assert changed == {"addresses"}


def test_own_images_come_from_the_registry(server, deployed):
    own = {
        container["image"]
        for workload in workloads(deployed(server))
        for container in workload.all_containers
        if "readmission/" in container["image"]
    }
    assert own
    assert all(re.fullmatch(r"10\.20\.0\.12:32000/readmission/\w+:0a1b2c3d", image) for image in own)


def test_a_pulled_image_is_the_same_on_every_server(deployed):
    pinned = {}
    for server in SERVERS:
        for workload in workloads(deployed(server)):
            for container in workload.all_containers:
                name, at, digest = container["image"].partition("@")
                if at:
                    pinned.setdefault(name.partition(":")[0], set()).add((name, digest))
    assert {name for name, pins in pinned.items() if len(pins) > 1} == set()


def test_nodes_name_the_same_statsd_mapping():
    ours = CHECKOUT / "server1-data/deploy/airflow/statsd/airflow.yml"
    tested = CHECKOUT / "server3-serving/observability/statsd/airflow.yml"
    assert ours.read_text() == tested.read_text(), "server 1 deploys another mapping than the one tested"


def test_prometheus_gets_every_rule_file(deployed):
    rules = next(
        one["data"]
        for one in of_kind(deployed("server3-serving"), "ConfigMap")
        if plain(one["metadata"]["name"]) == "prometheus-rules"
    )
    folder = CHECKOUT / "server3-serving/observability/prometheus/rules"
    assert set(rules) == {path.name for path in folder.glob("*.rules.yml")}


def test_mail_goes_by_the_relay_of_the_site(tmp_path, deployed):
    server, relay = "server3-serving", "10.20.0.25"
    mail = {"RELAY": f"{relay}:587", "FROM": "readmission@example.org", "ON_CALL": "night@example.org",
            "OPERATORS": "day@example.org"}  # fmt: skip
    objects = site(tmp_path, server, settings={"mail": [f"{name}={value}" for name, value in mail.items()]})

    def config(objects):
        found = {plain(one["metadata"]["name"]): one for one in of_kind(objects, "ConfigMap")}
        return found["alertmanager-config"]

    told = yaml.safe_load(config(objects)["data"]["alertmanager.yml"])
    as_shipped = yaml.safe_load(config(deployed(server))["data"]["alertmanager.yml"])
    assert (told["global"]["smtp_smarthost"], told["global"]["smtp_from"]) == (mail["RELAY"], mail["FROM"])
    written = {one["name"]: one["email_configs"] for one in told["receivers"] if "email_configs" in one}
    assert {name: [one["to"] for one in to] for name, to in written.items()} == {
        "on-call": [mail["ON_CALL"]],
        "in-working-hours": [mail["OPERATORS"]],
    }
    # Nothing else differs, and a changed file starts a new pod.
    assert (told["route"], told["inhibit_rules"]) == (as_shipped["route"], as_shipped["inhibit_rules"])
    assert config(objects)["metadata"]["name"] != config(deployed(server))["metadata"]["name"]
    alertmanager = next(one for one in workloads(objects) if one.name == "alertmanager")
    assert Network(objects).outside(alertmanager, relay) == {25, 587}
    assert Network(deployed(server)).outside(alertmanager, relay) == set()


def test_grafana_gets_every_dashboard(deployed):
    dashboards = next(
        one["data"]
        for one in of_kind(deployed("server3-serving"), "ConfigMap")
        if plain(one["metadata"]["name"]) == "grafana-dashboards"
    )
    folder = CHECKOUT / "server3-serving/observability/grafana/dashboards"
    assert set(dashboards) == {path.name for path in folder.glob("*.json")}


def test_the_api_ends_what_it_serves_before_it_is_killed(deployed):
    deployment = named(deployed("server3-serving"), "Deployment")["api"]
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    assert container["livenessProbe"]["httpGet"]["path"] == "/health/live"
    assert container["readinessProbe"]["httpGet"]["path"] == "/health/ready"
    assert deployment["metadata"]["labels"]["readmission/needs-model"] == "true"
    # The number of pods is the autoscaler's.
    assert "replicas" not in deployment["spec"]


def test_a_schedule_keeps_the_number_that_it_set(deployed):
    objects = deployed("schedules")
    assert "replicas" not in named(objects, "Deployment")["feed"]["spec"]
    said = {
        name: named(objects, "CronJob")[name]["spec"]["jobTemplate"]["spec"]["template"]["spec"][
            "containers"
        ][0]["command"][-1]
        for name in ("feed-start", "feed-stop")
    }
    assert said == {"feed-start": "--replicas=1", "feed-stop": "--replicas=0"}


def test_a_site_sets_the_hours_of_the_feed(tmp_path):
    hours = {"feed-hours": ["START=30 6 * * *", "STOP=0 20 * * *", "TIME_ZONE=Europe/Berlin"]}
    jobs = named(site(tmp_path, "server1-data", ("schedules",), hours), "CronJob")
    found = {name: (one["spec"]["schedule"], one["spec"]["timeZone"]) for name, one in jobs.items()}
    assert found["feed-start"] == ("30 6 * * *", "Europe/Berlin")
    assert found["feed-stop"] == ("0 20 * * *", "Europe/Berlin")


def test_what_only_one_node_answers_for_runs_where_others_ask(server, deployed):
    """With `externalTrafficPolicy: Local` a port is open only on the node that runs the pod."""
    objects = deployed(server)
    local = [
        one["spec"]["selector"]
        for one in of_kind(objects, "Service")
        if one["spec"].get("externalTrafficPolicy") == "Local"
    ]
    for workload in workloads(objects):
        if any(selects({"matchLabels": selector}, workload.labels) and workload.runs for selector in local):
            terms = workload.pod["affinity"]["nodeAffinity"][
                "preferredDuringSchedulingIgnoredDuringExecution"
            ]
            expressions = [one for term in terms for one in term["preference"]["matchExpressions"]]
            assert {one["key"] for one in expressions} == {"node.kubernetes.io/microk8s-controlplane"}


# The immutable fields of existing objects, by kind.
IMMUTABLE = {
    "PersistentVolumeClaim": ("accessModes", "storageClassName", "volumeMode"),
    "StatefulSet": ("serviceName", "selector", "volumeClaimTemplates", "podManagementPolicy"),
    "Deployment": ("selector",),
    "Service": ("clusterIP",),
}


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_component_can_be_switched_on_in_a_running_site(component, deployed):
    def fixed(objects):
        return {
            (one["kind"], one["metadata"]["name"], field): one["spec"].get(field)
            for one in objects
            for field in IMMUTABLE.get(one["kind"], ())
        }

    before, after = fixed(deployed("server1-data")), fixed(deployed(component))
    assert {key for key in before.keys() & after.keys() if before[key] != after[key]} == set()


def test_nothing_holds_the_database_while_it_waits_for_the_migration(deployed):
    """A check with a timeout keeps a transaction open, and MySQL then creates no table for the migration."""
    waiting = [
        " ".join([*container.get("command", []), *container.get("args", [])])
        for workload in workloads(deployed("server1-data"))
        for container in workload.all_containers
        if container["name"] == "wait-for-migration"
    ]
    assert len(waiting) == 4
    assert all("until " in words and "--migration-wait-timeout=0;" in words for words in waiting)


def test_a_task_outlasts_a_restart_of_the_api_server(deployed):
    """Airflow waits between tries for at least `wait_min` seconds."""
    objects = deployed("server1-data")
    settings = next(
        one["data"] for name, one in named(objects, "ConfigMap").items() if plain(name) == "airflow-settings"
    )
    prefix = "AIRFLOW__WORKERS__EXECUTION_API_"
    patience = int(settings[f"{prefix}RETRIES"]) * int(settings[f"{prefix}RETRY_WAIT_MIN"])
    probe = next(one for one in workloads(objects) if one.name == "airflow-api").containers[0][
        "livenessProbe"
    ]
    # The time until the kubelet finds it dead, plus half a minute to start.
    assert patience >= probe["periodSeconds"] * probe["failureThreshold"] + 30
