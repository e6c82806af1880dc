"""After site.yml: files, addresses, firewall, secrets and manifests are what the inventory asks for."""

import base64
import re
import subprocess
import sys
import time

import pytest
import yaml

from hosts import machines

# The first test waits for three plays on all hosts.
pytestmark = [pytest.mark.usefixtures("deployed"), pytest.mark.timeout(2400)]

GROUPS = {"server1-data": "data", "server2-tracking": "tracking", "server3-serving": "serving"}
REGISTRY = "10.77.0.12:32000"
OVERLAY = "/etc/readmission/deploy/site"


def test_check_mode_on_fresh_hosts_changes_nothing(deployed):
    assert all(counts["failed"] == counts["unreachable"] == 0 for counts in deployed.check.recap.values())
    assert all(deployed.check.changed.values())
    written = {
        f"{name}:{path}"
        for name, after in deployed.after_check.items()
        for path in after | deployed.before_check[name]
        if after.get(path) != deployed.before_check[name].get(path)
    }
    assert written == set()
    assert deployed.control_after_check == {"hosts.yml"}


def test_a_second_run_changes_nothing(deployed):
    assert all(deployed.first.changed.values())
    assert deployed.second.changed == dict.fromkeys(GROUPS, 0)


def test_the_play_ends_with_the_addresses(deployed):
    printed = re.findall(
        r"(https://10\.77\.0\.1\d:\d+)", deployed.first.output.rpartition("Print the addresses")[2]
    )
    assert sorted(set(printed)) == sorted(
        [
            "https://10.77.0.11:30080",
            "https://10.77.0.11:30088",
            "https://10.77.0.12:30002",
            "https://10.77.0.12:30003",
            "https://10.77.0.13:30009",
            "https://10.77.0.13:30030",
            "https://10.77.0.13:30080",
            "https://10.77.0.13:30081",
            "https://10.77.0.13:30090",
        ]
    )


def test_the_play_ends_with_a_prediction(deployed):
    said = " ".join(deployed.first.output.rpartition("Check that it is a prediction")[2].split())
    assert "best version 1 predicts 12.3 % risk of readmission within 30 days for its example" in said


def test_airflow_starts_the_dags_by_itself(site):
    settings = next(
        item["data"]
        for item in applied(site, DATA)
        if item["kind"] == "ConfigMap" and item["metadata"]["name"].startswith("airflow-settings")
    )
    assert settings["AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION"] == "False"


@pytest.mark.parametrize("name", GROUPS)
def test_microk8s_is_pinned_and_set_up(site, name):
    calls = site.calls(name)
    own = {"tracking": {"registry"}, "serving": {"metrics-server"}}.get(GROUPS[name], set())
    assert calls.count("snap install microk8s --classic --channel=1.35/stable") == 1
    assert calls.index("snap wait system seed.loaded") < calls.index(
        "snap install microk8s --classic --channel=1.35/stable"
    )
    assert calls.count("snap refresh --hold microk8s") == 1
    enabled = [line.split()[2] for line in calls if line.startswith("microk8s enable")]
    assert sorted(enabled) == sorted({"dns", "rbac", "hostpath-storage"} | own)


@pytest.mark.parametrize("name", GROUPS)
def test_the_nat_address_is_never_the_nodes(site, name):
    host = site.hosts[name]
    arguments = host.root / "var/snap/microk8s/current/args"
    assert f"--node-ip={host.ip}" in (arguments / "kubelet").read_text().splitlines()
    assert f"--advertise-address={host.ip}" in (arguments / "kube-apiserver").read_text().splitlines()
    assert (
        '- name: IP_AUTODETECTION_METHOD\n              value: "kubernetes-internal-ip"\n'
        in (arguments / "cni-network/cni.yaml").read_text()
    )
    assert "snap restart microk8s.daemon-kubelite" in site.calls(name)
    strays = [
        path
        for folder in ("etc/readmission", "var/snap")
        for path in (host.root / folder).rglob("*")
        if path.is_file() and machines.NAT_IP.encode() in path.read_bytes()
    ]
    assert strays == []


@pytest.mark.parametrize("name", GROUPS)
def test_microk8s_certificates_name_the_host_and_last(site, name):
    """As with a fresh MicroK8s, the stand-in's are for the NAT's address; two of them expire in 30 days."""
    certificates = site.hosts[name].root / "var/snap/microk8s/current/certs"

    def holds(certificate, authority, *check):
        command = ["openssl", "x509", "-noout", "-in", str(certificates / f"{certificate}.crt"), *check]
        assert "not" not in machines.run(command).stdout.replace("will not expire", "")
        chain = ["-CAfile", str(certificates / f"{authority}.crt"), str(certificates / f"{certificate}.crt")]
        machines.run(["openssl", "verify", *chain])

    year = ("-checkend", str(300 * 86400))
    holds("server", "ca", "-checkip", site.hosts[name].ip, *year)
    holds("kubelet", "ca", "-checkip", site.hosts[name].ip, *year)
    holds("front-proxy-client", "front-proxy-ca", *year)
    issued = [call for call in site.calls(name) if "refresh-certs" in call]
    assert sorted(issued) == [
        "microk8s refresh-certs --cert front-proxy-client.crt",
        "microk8s refresh-certs --cert server.crt",
    ]


def test_the_node_exporter_outlives_an_address_that_comes_late(site):
    host = site.hosts[DATA]
    site.ssh(DATA, "systemd-run --quiet --on-active=2 systemctl restart prometheus-node-exporter")
    machines.run(["ip", "-n", host.namespace, "address", "flush", "dev", "lan0", "scope", "global"])
    time.sleep(12)
    machines.run(["ip", "-n", host.namespace, "address", "add", f"{host.ip}/24", "dev", "lan0"])
    found = ""
    deadline = time.monotonic() + 60
    while not found and time.monotonic() < deadline:
        time.sleep(1)
        found = machines.inside(
            site.hosts[SERVING].namespace, [sys.executable, "-c", CONNECT, "2", f"{host.ip}:9100"]
        ).stdout
    assert found.strip() == f"{host.ip}:9100"


@pytest.mark.parametrize("name", GROUPS)
def test_containerd_pulls_from_server_2(site, name):
    registries = site.hosts[name].root / "var/snap/microk8s/current/args/certs.d"
    assert sorted(path.name for path in registries.iterdir()) == [REGISTRY, "docker.io", "localhost:32000"]
    lines = (registries / REGISTRY / "hosts.toml").read_text().splitlines()
    assert [line for line in lines if line and not line.startswith("#")] == [
        f'server = "http://{REGISTRY}"',
        f'[host."http://{REGISTRY}"]',
        'capabilities = ["pull", "resolve"]',
    ]


def test_images_of_the_release_are_built_on_server_2_alone(site, control):
    builds = {name: [call for call in site.calls(name) if call.startswith("build")] for name in GROUPS}
    expected = f"build --registry localhost:32000 --tag {control.release[:12]} --revision {control.release}"
    assert builds == {"server1-data": [], "server2-tracking": [expected], "server3-serving": []}


# --- firewall -------------------------------------------------------------------------------------

CONTROL, STRANGER = machines.CONTROL, machines.STRANGER
DATA, TRACKING, SERVING = GROUPS
UNNAMED = 9999
# The allowed connections; every pair that is not listed must be blocked.
OPEN = {
    DATA: {
        22: {CONTROL},
        30306: {SERVING},
        30080: {CONTROL, SERVING},
        30088: {CONTROL},
        30102: {SERVING},
        30104: {SERVING},
        30105: {SERVING},
        9100: {SERVING},
        UNNAMED: set(),
    },
    TRACKING: {
        22: {CONTROL},
        30003: {CONTROL, DATA, SERVING},
        30001: {DATA, SERVING},
        30002: {CONTROL},
        32000: {DATA, SERVING},
        30104: {SERVING},
        30105: {SERVING},
        9100: {SERVING},
        UNNAMED: set(),
    },
    SERVING: {
        22: {CONTROL},
        30080: {CONTROL, DATA},
        30081: {CONTROL},
        30009: {CONTROL},
        30090: {CONTROL},
        30030: {CONTROL},
        9100: set(),
        UNNAMED: set(),
    },
}
CONNECT = """
import asyncio, sys
async def one(target):
    ip, port = target.split(":")
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(ip, int(port)), float(sys.argv[1]))
        writer.close()
        print(target)
    except (OSError, asyncio.TimeoutError):
        pass
async def every():
    await asyncio.gather(*map(one, sys.argv[2:]))
asyncio.run(every())
"""


def test_the_firewall_lets_in_the_named_ports_from_the_named_nodes(site):
    for name in GROUPS:
        site.ssh(name, f"systemd-run --quiet --collect --unit=unnamed python3 -m http.server {UNNAMED}")
    targets = {
        f"{site.hosts[name].ip}:{port}": (name, port) for name, ports in OPEN.items() for port in ports
    }
    for name in GROUPS:
        # A host reaches all its own ports, so a program listens behind each port that is closed for others.
        own = [target for target, (host, _) in targets.items() if host == name]
        found = machines.inside(site.hosts[name].namespace, [sys.executable, "-c", CONNECT, "20", *own])
        assert sorted(found.stdout.split()) == sorted(own)

    sources = {CONTROL: CONTROL, STRANGER: STRANGER} | {
        name: host.namespace for name, host in site.hosts.items() if name in GROUPS
    }
    trials = {
        source: subprocess.Popen(
            ["ip", "netns", "exec", namespace, sys.executable, "-c", CONNECT, "3"]
            + [target for target, (host, _) in targets.items() if host != source],
            stdout=subprocess.PIPE,
            text=True,
        )
        for source, namespace in sources.items()
    }
    reached = {
        (source, *targets[target])
        for source, trial in trials.items()
        for target in trial.communicate()[0].split()
    }
    for name in GROUPS:
        site.ssh(name, "systemctl stop unnamed")
    assert reached == {
        (source, name, port)
        for name, ports in OPEN.items()
        for port, allowed in ports.items()
        for source in allowed
    }


@pytest.mark.parametrize("name", GROUPS)
def test_the_rules_stand_before_the_translation_of_node_ports(site, name):
    rules = machines.inside(
        site.hosts[name].namespace, ["nft", "list", "table", "inet", "readmission"]
    ).stdout
    assert "type filter hook prerouting priority mangle; policy drop;" in rules
    assert 'iifname "cali*" accept' in rules
    assert "fib daddr type != local drop" in rules
    assert "enabled" in site.ssh(name, "systemctl is-enabled readmission-firewall")


# --- secrets --------------------------------------------------------------------------------------

# The servers on which each secret may appear, in files and in applied objects.
BOTH = {
    "mlflow_pipeline": "12",
    "mlflow_serving": "23",
    "mlflow_notebooks": "12",
    "minio_data_backup": "12",
    "minio_data_backup_access": "12",
    "airflow_retrain": "13",
}
OWNERS = BOTH | {"data_mysql_predictions": "13", "data_mysql_audit": "13", "jupyter": "", "authority": ""}
OWNERS |= {"api_client_verify": ""}
PREFIXES = {"data_": "1", "airflow_": "1", "jupyter_": "1", "feed_": "1", "tracking_": "2", "mlflow_": "2"}
PREFIXES |= {"minio_": "2", "api_": "3", "grafana_": "3", "locust": "3", "page_user_": ""}
PREFIXES |= {"certificate_data": "1", "certificate_tracking": "2", "certificate_serving": "3"}


def plain(kept):
    """Return the values to hide by name: passwords, age's private keys, and a private key's middle line."""
    return {
        name: value if isinstance(value, str) else value.get("identities") or value["key"].splitlines()[1]
        for name, value in kept.items()
    }


def test_each_node_gets_its_own_secrets_alone(control, snapshot):
    expected = {
        name: OWNERS.get(
            name, next((servers for prefix, servers in PREFIXES.items() if name.startswith(prefix)), None)
        )
        for name in control.kept()
    }
    found = dict.fromkeys(expected, "")
    for number, name in enumerate(GROUPS, 1):
        files = snapshot(name)
        for path, content in files.items():
            if path.startswith("/var/lib/stand-in/applied"):
                values = re.findall(rb"^  [\w.-]+: ([A-Za-z0-9+/=\n ]{20,})$", content, re.MULTILINE)
                files[path] = b"\n".join(map(decoded, values))
        for secret, value in plain(control.kept()).items():
            if any(value.encode() in content for content in files.values()):
                found[secret] += str(number)
    assert found == expected


def decoded(value):
    """Return the decoded value of a Secret; a value that is not base64 hides nothing."""
    try:
        return base64.b64decode(b"".join(value.split()), validate=True)
    except ValueError:
        return b""


@pytest.mark.parametrize("name", GROUPS)
def test_secrets_are_for_root_alone(site, name):
    listing = site.ssh(name, f'find {OVERLAY} -printf "%m %U %y %p\\n"').splitlines()
    assert len(listing) > 8
    assert [line for line in listing if not line.startswith(("600 0 f", "700 0 d"))] == []


def test_no_secret_shows_in_output_or_journal(site, control):
    said = "\n".join(control.said)
    journals = "\n".join(site.ssh(name, "journalctl --no-pager") for name in GROUPS)
    assert "sudo" in journals
    shown = [name for name, value in plain(control.kept()).items() if value in said or value in journals]
    assert shown == []
    assert control.key.read_text().strip() not in said


def test_the_kept_file_is_encrypted_and_every_secret_its_own(control):
    assert control.secrets.read_text().startswith("$ANSIBLE_VAULT;")
    assert control.secrets.stat().st_mode & 0o777 == control.key.stat().st_mode & 0o777 == 0o600
    kept = control.kept()
    passwords = [value for value in kept.values() if isinstance(value, str)]
    assert len(passwords) > 25
    assert len(set(passwords)) == len(passwords)
    assert min(map(len, passwords)) >= 32


# --- manifests ------------------------------------------------------------------------------------


def applied(site, name):
    text = (site.hosts[name].root / "var/lib/stand-in/applied.yaml").read_text()
    return [item for item in yaml.safe_load_all(text) if item]


def walk(value):
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from walk(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from walk(inner)


@pytest.mark.parametrize("name", GROUPS)
def test_objects_find_every_secret_that_they_name(site, name):
    items = applied(site, name)
    keys = {item["metadata"]["name"]: set(item["data"]) for item in items if item["kind"] == "Secret"}
    named, missing = 0, []
    for item in items:
        for part in walk(item):
            for reference in (part.get("secretKeyRef"), part.get("secretRef"), part.get("secret")):
                if not isinstance(reference, dict) or reference.get("optional"):
                    continue
                secret = reference.get("name") or reference.get("secretName")
                wanted = (
                    {reference["key"]}
                    if "key" in reference
                    else {i["key"] for i in reference.get("items", [])}
                )
                named += 1
                if secret not in keys or not wanted <= keys[secret]:
                    missing.append((item["kind"], item["metadata"]["name"], secret, sorted(wanted)))
    assert named > 3
    assert missing == []


@pytest.mark.parametrize("name", GROUPS)
def test_objects_name_the_sites_addresses_and_images(site, control, name):
    items = applied(site, name)
    addresses = next(
        item["data"]
        for item in items
        if item["kind"] == "ConfigMap" and item["metadata"]["name"].startswith("addresses")
    )
    peers = {"TRACKING_HOST": "10.77.0.12", "DATA_HOST": "10.77.0.11", "SERVING_HOST": "10.77.0.13"}
    assert addresses == {key: peers.get(key, site.hosts[name].ip) for key in addresses}
    assert "PUBLIC_HOST" in addresses
    assert "192.0.2." not in yaml.safe_dump(items)
    images = {part["image"] for item in items for part in walk(item) if isinstance(part.get("image"), str)}
    own = {image for image in images if "readmission/" in image}
    assert own
    assert [image for image in own if not image.startswith(f"{REGISTRY}/readmission/")] == []
    assert {image.rpartition(":")[2] for image in own} == {control.release[:12]}
    assert [image for image in images - own if "@sha256:" not in image] == []


def test_prometheus_finds_the_other_nodes(site):
    targets = next(
        item["data"]
        for item in applied(site, SERVING)
        if item["kind"] == "ConfigMap" and item["metadata"]["name"].startswith("prometheus-targets")
    )
    found = {job: yaml.safe_load(text) for job, text in targets.items()}
    assert found["node.yml"][0]["targets"] == ["10.77.0.11:9100", "10.77.0.12:9100", "10.77.0.13:9100"]
    assert found["mysql.yml"][0]["targets"] == ["10.77.0.11:30104", "10.77.0.12:30104"]
    assert found["kubernetes.yml"][0]["targets"] == [
        "10.77.0.11:30105", "10.77.0.12:30105", "kube-state-metrics:8080",
    ]  # fmt: skip
    assert found["edges.yml"][0]["targets"] == ["10.77.0.11:30080", "10.77.0.12:30003", "10.77.0.13:30080"]
    assert found["minio.yml"][0]["targets"] == ["https://10.77.0.12:30001/minio/health/live"]
    assert found["airflow.yml"][0]["targets"] == ["10.77.0.11:30102"]
    assert found["mlflow.yml"][0]["targets"] == ["https://10.77.0.12:30003/health"]
    assert found["airflow-api.yml"][0]["targets"] == ["https://10.77.0.11:30080/api/v2/monitor/health"]
