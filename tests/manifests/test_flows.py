"""The complete list of allowed flows; processes can reach every address in their settings."""

import re
from urllib.parse import urlsplit

import pytest
import yaml

from manifests.conftest import ADDRESSES, NODES
from manifests.support import flow_table
from manifests.support.kustomize import SERVERS
from manifests.support.network import Network
from manifests.support.objects import named, of_kind, plain, selects, workloads

MYSQL, API = "mysql:3306", "airflow-api:8080"

# Every flow inside a cluster. Adding one is a decision that belongs here.
FLOWS = {
    "server1-data": {
        "airflow-api": {MYSQL, "airflow-triggerer:8794", "statsd:8125"},
        "airflow-dag-processor": {MYSQL, API, "statsd:8125"},
        "airflow-migrate": {MYSQL},
        "airflow-scheduler": {MYSQL, API, "statsd:8125", "feed:8300"},
        "airflow-triggerer": {MYSQL, API, "statsd:8125"},
        "backup-mysql": {MYSQL},
        "cleanup-airflow": {MYSQL},
        "edge": {API, "jupyter:8888"},
        "erase": {MYSQL},
        "jupyter": {MYSQL},
        "mysql-users": {MYSQL},
        "mysqld-exporter": {MYSQL},
        "restore": {MYSQL},
        "retention": {MYSQL},
    },
    "server2-tracking": {
        "backup-artifacts": {"minio:9000"},
        "backup-mysql": {MYSQL, "minio:9000"},
        "cleanup-mlflow": {MYSQL, "mlflow:5000"},
        "edge": {"mlflow:5000", "minio:9000", "minio:9001"},
        "expire-backups": {"minio:9000"},
        "minio-accounts": {"minio:9000"},
        "mlflow": {MYSQL, "minio:9000"},
        "mlflow-accounts": {"mlflow:5000"},
        "mysql-users": {MYSQL},
        "mysqld-exporter": {MYSQL},
        "restore": {MYSQL, "minio:9000"},
    },
    "server3-serving": {
        "api": {"shared-files:8080"},
        "blackbox": {"edge:30080"},
        "edge": {"api:8000", "ui:8501", "locust:8089", "prometheus:9090", "grafana:3000"},
        "grafana": {"prometheus:9090"},
        "locust": {"api:8000"},
        "prometheus": {
            "api:8000",
            "alertmanager:9093",
            "alertmanager:8095",
            "blackbox:9115",
            "kube-state-metrics:8080",
        },
        "ui": {"api:8000", "prometheus:9090"},
    },
}
# Kubernetes' API is at an address of the machine that the manifests do not know.
KUBERNETES = {(name, port) for name in ADDRESSES for port in (443, 16443)}
# To other machines.
OUTSIDE = {
    "server1-data": {
        "airflow-scheduler": {("TRACKING_HOST", 30003)},
        "erase": {("TRACKING_HOST", 30003)},
        "jupyter": {("TRACKING_HOST", 30003)},
        "backup-mysql": {("TRACKING_HOST", 30001)},
        "restore": {("TRACKING_HOST", 30001)},
        "kube-state-metrics": KUBERNETES,
        # The internet.
        "dataset": {(name, port) for name in ADDRESSES for port in (80, 443)},
    },
    "server2-tracking": {"kube-state-metrics": KUBERNETES},
    "server3-serving": {
        "alertmanager": {("DATA_HOST", 30080)},
        "api": {("TRACKING_HOST", 30003), ("DATA_HOST", 30306)},
        "blackbox": {("TRACKING_HOST", 30001), ("TRACKING_HOST", 30003), ("DATA_HOST", 30080)},
        "kube-state-metrics": KUBERNETES,
        "prometheus": {
            ("DATA_HOST", 30102), ("DATA_HOST", 30104), ("DATA_HOST", 30105), ("DATA_HOST", 9100),
            ("TRACKING_HOST", 30104), ("TRACKING_HOST", 30105), ("TRACKING_HOST", 9100),
            ("SERVING_HOST", 9100),
        },
    },
}  # fmt: skip
NODE_PORTS = {
    "server1-data": {
        30306: "mysql",
        30080: "edge",
        30088: "edge",
        30102: "statsd",
        30104: "mysqld-exporter",
        30105: "kube-state-metrics",
    },
    "server2-tracking": {
        30001: "edge",
        30002: "edge",
        30003: "edge",
        30104: "mysqld-exporter",
        30105: "kube-state-metrics",
    },
    "server3-serving": dict.fromkeys((30080, 30081, 30009, 30090, 30030), "edge"),
}


@pytest.fixture(params=SERVERS)
def server(request):
    return request.param


def test_the_flows_inside_are_those_of_the_list(server, deployed):
    listed = {
        (source, target.partition(":")[0], int(target.partition(":")[2]))
        for source, targets in FLOWS[server].items()
        for target in targets
    }
    assert Network(deployed(server)).flows() == listed


def test_the_flows_to_other_machines_are_those_of_the_list(server, deployed):
    objects = deployed(server)
    network = Network(objects)
    found = {
        workload.name: flows
        for workload in workloads(objects)
        if (
            flows := {
                (name, port)
                for name, address in ADDRESSES.items()
                for port in network.outside(workload, address)
            }
        )
    }
    assert found == OUTSIDE[server]


def test_node_ports_are_those_of_the_list(server, deployed):
    ports = {
        port["nodePort"]: service["metadata"]["labels"]["app.kubernetes.io/name"]
        for service in of_kind(deployed(server), "Service")
        for port in service["spec"]["ports"]
        if service["spec"].get("type") == "NodePort"
    }
    assert ports == NODE_PORTS[server]


def test_the_tables_of_the_architecture_are_those_of_the_policies():
    [written] = flow_table.SECTION.findall(flow_table.DOCUMENT.read_text())
    assert written == flow_table.tables(), "run `make flows`"


def test_only_the_edge_is_open_to_every_address(server, deployed):
    objects = deployed(server)
    network = Network(objects)
    for workload in workloads(objects):
        nets = {net for net, _ in network.from_outside(workload)}
        serving = {f"{address}/32" for address in NODES["serving"]}
        assert nets in (set(), {"0.0.0.0/0"} if workload.name == "edge" else serving), workload.name


def test_the_nodes_of_a_group_are_reached_alike(server, deployed):
    """The pods of another server run on its workers, too, and each worker has a node exporter."""
    objects = deployed(server)
    network = Network(objects)
    for workload in workloads(objects):
        for primary, worker in NODES.values():
            assert network.outside(workload, primary) == network.outside(workload, worker), workload.name


def addresses_given(workload, settings):
    """Yield the addresses in the environment of a workload, with the site's own put in."""
    for container in workload.all_containers:
        values = [one.get("value", "") for one in container.get("env", [])]
        for source in container.get("envFrom", []):
            values += settings.get(source.get("configMapRef", {}).get("name"), {}).values()
        values += container.get("args", []) + container.get("command", [])
        for value in values:
            known = re.sub(r"\$\((\w+)\)", lambda found: ADDRESSES.get(found[1], found[0]), value)
            yield from (urlsplit(url) for url in re.findall(r"\b(?:https?|tcp)://[\w.-]+:\d+", known))


def test_each_address_that_a_process_is_given_can_be_reached(server, deployed):
    objects = deployed(server)
    network, services = Network(objects), named(objects, "Service")
    settings = {name: one["data"] for name, one in named(objects, "ConfigMap").items()}
    flows = network.flows()
    given = {
        (workload.name, url.hostname, url.port)
        for workload in workloads(objects)
        for url in addresses_given(workload, settings)
        # Its own address, for those who open it.
        if url.hostname != ADDRESSES["PUBLIC_HOST"] and url.hostname != workload.name
    }
    assert given
    for name, host, port in given:
        if host in services:
            assert reached(services[host], port, objects) <= {
                (target, number) for source, target, number in flows if source == name
            }, (name, host, port)
        else:
            workload = next(one for one in workloads(objects) if one.name == name)
            assert port in network.outside(workload, host), (name, host, port)


def reached(service, port, objects):
    """Return the workload and the number of the container's port behind a port of a Service."""
    target = next(one["targetPort"] for one in service["spec"]["ports"] if one["port"] == port)
    return {
        (workload.name, known["containerPort"])
        for workload in workloads(objects)
        if selects({"matchLabels": service["spec"]["selector"]}, workload.labels)
        for container in workload.containers
        for known in container.get("ports", [])
        if known["name"] == target
    }


def test_the_edge_opens_each_of_its_ports_with_tls(server, deployed):
    objects = deployed(server)
    data = next(one["data"] for one in of_kind(objects, "ConfigMap") if "edge.conf" in one.get("data", {}))
    doors = {
        port: f"{name}:{number}"
        for port, name, number in re.findall(
            r'listen (\d+) ssl;.*?set \$backend "([\w-]+)\$domain:(\d+)";', data["edge.conf"], re.DOTALL
        )
    }
    assert {int(port) for port in doors} == {
        port for port, who in NODE_PORTS[server].items() if who == "edge"
    }
    assert set(doors.values()) == FLOWS[server]["edge"]
    # A door may have several locations, all of them with the door's own backend.
    passes = re.findall(r"proxy_pass (.*?);", data["edge.conf"])
    assert len(passes) >= len(doors)
    assert set(passes) == {"http://$backend"}
    # Without TLS there is only the kubelet's own port, which no Service opens.
    assert re.findall(r"listen (\d+);", "".join(data.values())) == ["8081"]


def test_prometheus_reaches_what_it_is_told_to_ask(deployed):
    objects = deployed("server3-serving")
    services, network = named(objects, "Service"), Network(objects)
    prometheus = next(one for one in workloads(objects) if one.name == "prometheus")
    flows = {(target, port) for source, target, port in network.flows() if source == "prometheus"}
    data = {plain(name): one["data"] for name, one in named(objects, "ConfigMap").items()}
    files, config = data["prometheus-targets"], yaml.safe_load(data["prometheus-config"]["prometheus.yml"])
    told = re.findall(r"targets/([\w-]+\.yml)", data["prometheus-config"]["prometheus.yml"])
    assert set(told) == set(files)
    asked = {
        group.get("labels", {}).get("prober", target)
        for text in files.values()
        for group in yaml.safe_load(text)
        for target in group["targets"]
    } - {"127.0.0.1:9090"}
    # The files name documentation addresses: the site's own list is not in the base.
    machines = {"192.0.2.11": "DATA_HOST", "192.0.2.12": "TRACKING_HOST", "192.0.2.13": "SERVING_HOST"}
    for address in asked:
        host, port = address.split(":")
        if host in machines:
            assert int(port) in network.outside(prometheus, ADDRESSES[machines[host]]), address
        else:
            assert reached(services[host], int(port), objects) <= flows, address
    job = next(one for one in config["scrape_configs"] if one["job_name"] == "readmission-api")
    for name in job["dns_sd_configs"][0]["names"]:
        assert services[name]["spec"]["clusterIP"] == "None"
        assert reached(services[name], job["dns_sd_configs"][0]["port"], objects) <= flows
