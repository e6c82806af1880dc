"""The table of every probe of the kubelet. Adding a page is a decision that belongs here."""

import pytest

from manifests.support.objects import workloads

# Container: the pages that it answers without a login, and the name of their port. A probe has no
# password, so a page that wants one never gets its pod ready.
PAGES = {
    "alertmanager": {("http", "/-/healthy"), ("http", "/-/ready")},
    "api": {("http", "/health/live"), ("http", "/health/ready")},
    "api-server": {("http", "/api/v2/version"), ("http", "/api/v2/monitor/health")},
    "blackbox-exporter": {("http", "/-/healthy")},
    "dag-processor": {("health", "/health")},
    "feed": {("http", "/health/live"), ("http", "/health/ready")},
    "grafana": {("http", "/api/health")},
    "jupyter": {("http", "/api")},
    "locust": {("http", "/login")},
    "minio": {("s3", "/minio/health/live"), ("s3", "/minio/health/cluster")},
    "kube-state-metrics": {("metrics", "/healthz")},
    # `/version` asks for the login.
    "mlflow": {("http", "/health")},
    "mysql": {("mysql", "")},
    "mysqld-exporter": {("metrics", "/")},
    "nginx": {("health", "/health")},
    "prometheus": {("http", "/-/healthy"), ("http", "/-/ready")},
    "retrain": {("retrain", "/health/live")},
    "scheduler": {("health", "/health")},
    "shared-files": {("http", "/health")},
    "statsd-exporter": {("metrics", "/-/healthy"), ("metrics", "/-/ready")},
    "triggerer": {("health", "/health")},
    "ui": {("http", "/_stcore/health")},
}
KINDS = ("startupProbe", "livenessProbe", "readinessProbe")


def pages(container):
    """Yield the page of each probe of a container: the name of its port and the path (none for TCP)."""
    for kind in KINDS:
        probe = container.get(kind, {})
        if "httpGet" in probe:
            yield probe["httpGet"]["port"], probe["httpGet"]["path"]
        elif "tcpSocket" in probe:
            yield probe["tcpSocket"]["port"], ""


@pytest.fixture
def containers(variant, deployed):
    return [one for workload in workloads(deployed(variant)) if workload.runs for one in workload.containers]


def test_probes_ask_the_pages_of_the_table(containers):
    found = {one["name"]: set(pages(one)) for one in containers}
    assert found == {name: PAGES[name] for name in found}


def test_probes_ask_ports_that_the_container_names(containers):
    for one in containers:
        assert {port for port, _ in pages(one)} <= {port["name"] for port in one["ports"]}, one["name"]


def test_a_healthy_process_has_time_on_a_busy_node(containers):
    """A container is killed only after a minute without a response, with five seconds for each probe."""
    for one in containers:
        probe = one["livenessProbe"]
        assert probe.get("timeoutSeconds", 1) >= 5, one["name"]
        assert probe.get("periodSeconds", 10) * probe.get("failureThreshold", 3) >= 60, one["name"]
