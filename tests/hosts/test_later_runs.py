"""Later changes of a site: rotate, move, grow, back up, upgrade, reset. The tests run in this order."""

import json
import re
from pathlib import Path

import pytest

from hosts import machines

pytestmark = [pytest.mark.usefixtures("deployed"), pytest.mark.timeout(2400)]

CHECKOUT = Path(__file__).parents[2]
OVERLAY = "/etc/readmission/deploy/site"
APPLIED = "/etc/readmission/deploy/applied"
OBJECTS = "/etc/readmission/deploy/objects.yaml"
CERTIFICATES = "/var/snap/microk8s/current/certs"
PAGES = "/usr/bin/python3 /usr/local/lib/pages.py"
DATA, TRACKING, SERVING, WORKER = "server1-data", "server2-tracking", "server3-serving", "server1-worker"


def lasting(site, snapshot, fleeting):
    return {
        name: {path: content for path, content in snapshot(name).items() if not fleeting.search(path)}
        for name in site.hosts
    }


@pytest.fixture
def changed_files(site, snapshot, fleeting):
    """A function that returns the files that were written or removed since the test began, by host."""
    before = lasting(site, snapshot, fleeting)

    def changed():
        after = lasting(site, snapshot, fleeting)
        return {
            name: {
                path for path in before[name] | after[name] if before[name].get(path) != after[name].get(path)
            }
            for name in site.hosts
        }

    return changed


def test_rotation_changes_exactly_the_named_secrets(control, site, changed_files):
    before = control.kept()
    rotate = ("-e", '{"secrets_rotate": ["api_token", "data_mysql_root"]}')
    played = control.play("site", "--diff", "--tags", "secrets", *rotate)
    after = control.kept()
    assert {name for name in before | after if before.get(name) != after.get(name)} == {
        "api_token",
        "data_mysql_root",
        "data_mysql_root_previous",
    }
    assert after["data_mysql_root_previous"] == before["data_mysql_root"]
    assert changed_files() == {
        DATA: {f"{OVERLAY}/secrets/mysql-root.env", APPLIED, OBJECTS},
        TRACKING: set(),
        SERVING: {f"{OVERLAY}/secrets/api.env", APPLIED, OBJECTS},
        WORKER: set(),
    }
    assert after["api_token"] not in played.output
    # The cluster has only the new Secret: unused ones are deleted.
    kept = site.calls(SERVING)
    assert [
        call
        for call in kept
        if re.match(r"microk8s kubectl -n readmission-serving delete secret/api-\w+$", call)
    ]


def test_a_second_control_machine_does_not_make_the_secrets_anew(control, tmp_path, changed_files):
    elsewhere = tmp_path / "vault.yml"
    given = ("-e", f"secrets_file={elsewhere}", "-e", f"secrets_key_file={tmp_path / 'vault.key'}")
    # Also with a single host, and with a play that changes nothing.
    for playbook, *more in (("site",), ("site", "--limit", SERVING), ("verify",)):
        refused = control.play(playbook, *given, *more, fails=True)
        assert f"{DATA}, {TRACKING}, {SERVING} run with secrets" in refused.said
    assert list(tmp_path.iterdir()) == []
    assert not any(changed_files().values())


def test_certificates_renew_by_a_play_that_changes_nothing_else(control, changed_files):
    assert control.play("renew").changed == dict.fromkeys((DATA, TRACKING, SERVING), 0)
    # Each certificate is valid for less time than requested here.
    shortened = ("-e", "secrets_renew_days=398", "-e", "microk8s_renew_days=366")
    control.play("renew", *shortened)
    edge = {f"{OVERLAY}/secrets/edge-tls/tls.crt", f"{OVERLAY}/secrets/edge-tls/tls.key"}
    changed = changed_files()
    for name in (DATA, TRACKING, SERVING):
        own = {path for path in changed[name] if path.startswith(CERTIFICATES)}
        assert {f"{CERTIFICATES}/server.crt", f"{CERTIFICATES}/front-proxy-client.crt"} <= own
        assert changed[name] - own == edge | {APPLIED, OBJECTS}
    assert control.play("renew").changed == dict.fromkeys((DATA, TRACKING, SERVING), 0)


def test_a_moved_node_changes_exactly_the_files_that_name_it(
    control, site, snapshot, fleeting, changed_files
):
    old, new = "10.77.0.13", "10.77.0.14"
    naming = {
        name: {path for path, content in files.items() if re.search(rb"(?<!\d)10\.77\.0\.13(?!\d)", content)}
        for name, files in lasting(site, snapshot, fleeting).items()
    }
    assert all(naming[name] for name in (DATA, TRACKING, SERVING))
    control.inventory.write_text(control.inventory.read_text().replace(old, new))
    site.move(SERVING, new)
    try:
        control.play("site", "--skip-tags", "verify")
        # The certificate contains the address in binary form, and `applied` is the hash of everything.
        naming[SERVING] |= {f"{OVERLAY}/secrets/edge-tls/tls.crt", f"{OVERLAY}/secrets/edge-tls/tls.key"}
        for name in (DATA, TRACKING, SERVING):
            naming[name] |= {APPLIED, OBJECTS}
        changed = changed_files()
        certificates = {path for path in changed[SERVING] if path.startswith(CERTIFICATES)}
        assert {f"{CERTIFICATES}/kubelet.crt", f"{CERTIFICATES}/server.crt"} <= certificates
        for name in ("kubelet", "server"):
            path = f"{site.hosts[SERVING].root}{CERTIFICATES}/{name}.crt"
            said = machines.run(["openssl", "x509", "-noout", "-in", path, "-checkip", new]).stdout
            assert "does match certificate" in said
        assert changed | {SERVING: changed[SERVING] - certificates} == naming | {WORKER: set()}
        left = {
            path
            for files in lasting(site, snapshot, fleeting).values()
            for path, content in files.items()
            if re.search(rb"(?<!\d)10\.77\.0\.13(?!\d)", content)
        }
        assert left == set()
    finally:
        site.move(SERVING, old)
        control.inventory.write_text(control.inventory.read_text().replace(new, old))


def test_a_site_without_a_mail_relay_is_refused_unless_it_says_so(control, tmp_path):
    refused = control.play("site", "--tags", "base", "-e", "deploy_without_mail=false", fails=True)
    assert "alerts would reach nobody" in refused.said
    mail = tmp_path / "mail.yml"
    relay = "[RELAY=10.77.0.1:25, FROM=a@example.org, ON_CALL=b@example.org, OPERATORS=c@example.org]"
    mail.write_text(f"all: {{children: {{serving: {{vars: {{deploy_settings: {{mail: {relay}}}}}}}}}}}\n")
    control.play("site", "--tags", "base", "-e", "deploy_without_mail=false", "-i", str(mail))


def test_the_firewall_follows_sshd_to_another_port(control, site):
    host = site.hosts[DATA]
    known = site.folder / "known_hosts"
    key = next(line for line in known.read_text().splitlines() if line.startswith(f"{host.ip} "))
    known.write_text(f"{known.read_text()}[{host.ip}]:2222 {key.partition(' ')[2]}\n")
    site.ssh(DATA, "systemd-run --quiet --collect --unit=second-sshd /usr/sbin/sshd -D -p 2222")
    firewall = ("--limit", DATA, "--tags", "firewall")

    def open_ports():
        rules = machines.inside(
            host.namespace, ["nft", "list", "chain", "inet", "readmission", "guard"]
        ).stdout
        (line,) = (line for line in rules.splitlines() if 'comment "ssh"' in line)
        return set(re.findall(r"\b(?:22|2222)\b", line.partition("saddr")[0]))

    assert open_ports() == {"22"}
    control.play("site", *firewall, "-e", '{"firewall_ssh_ports": [2222]}')
    assert open_ports() == {"22", "2222"}
    control.play("site", *firewall, "-e", "ansible_port=2222")
    assert open_ports() == {"2222"}
    control.play("site", *firewall, "-e", "ansible_port=2222", "-e", '{"firewall_ssh_ports": [22]}')
    site.ssh(DATA, "systemctl stop second-sshd")
    control.play("site", *firewall)
    assert open_ports() == {"22"}


def test_a_host_that_lacks_its_address_is_refused(control):
    wrong = control.inventory.read_text().replace("10.77.0.13}", "10.0.2.15, ansible_host: 10.77.0.13}")
    (control.folder / "wrong.yml").write_text(wrong)
    only = ("-i", str(control.folder / "wrong.yml"), "--limit", SERVING)
    played = control.play("site", "--tags", "base", *only, fails=True)
    assert "node_ip is not on the network that the nodes share" in played.said


def test_backup_and_restore_run_as_jobs(control, site):
    control.play("backup")
    control.play("restore", fails=True)
    control.play("restore", "-e", "backup_confirm=replace", "-e", "backup_restore_from=2026-11-20")
    made = [call for call in site.calls(DATA) if "create job" in call]
    assert [re.search(r"--from=(\S+)", call).group(1) for call in made] == [
        "cronjob/backup-mysql",
        "cronjob/restore",
    ]
    job = json.loads((site.hosts[DATA].root / "var/lib/stand-in/created.json").read_text())
    environment = {
        entry["name"]: entry.get("value") for entry in job["spec"]["template"]["spec"]["containers"][0]["env"]
    }
    assert environment["RESTORE_FROM"] == "2026-11-20"
    assert environment["RESTORE_OVERWRITE"] == "true"


def deployed_tags(site):
    return {
        name: set(
            re.findall(
                r"/readmission/[\w-]+:(\w+)",
                (site.hosts[name].root / "var/lib/stand-in/applied.yaml").read_text(),
            )
        )
        for name in (DATA, TRACKING, SERVING)
    }


def test_a_rollback_returns_to_the_release_or_the_model_before(control, site):
    assert "Select what to roll back" in control.play("rollback", fails=True).said
    refused = control.play("rollback", "--tags", "release", fails=True)
    assert "has no previous release" in refused.said
    first = control.release
    identity = ["-c", "user.name=tests", "-c", "user.email=tests@example.org"]
    made = [
        "git",
        *identity,
        "commit-tree",
        f"{first}^{{tree}}",
        "-m",
        "The same files, as a release of their own",
    ]
    control.release = machines.run(made, cwd=CHECKOUT).stdout.strip()
    # The firewalls too, because they still have the address that a node was moved to.
    control.play("site", "--tags", "firewall,deploy")
    assert deployed_tags(site) == {name: {control.release[:12]} for name in (DATA, TRACKING, SERVING)}
    control.play("rollback", "--tags", "release")
    assert deployed_tags(site) == {name: {first[:12]} for name in (DATA, TRACKING, SERVING)}
    control.release = first

    assert not any("rollback" in call for call in site.calls(DATA))
    control.play("rollback", "--tags", "model")
    scheduler = "microk8s kubectl -n readmission-data exec deployment/airflow-scheduler"
    assert site.calls(DATA)[-1] == f"{scheduler} -- python -m readmission_data rollback"


def test_verify_alone_tells_which_page_does_not_answer(control, site):
    assert not any(control.play("verify").changed.values())
    site.ssh(SERVING, "systemctl stop stand-in-pages")
    quick = ("-e", "verify_retries=1", "-e", "verify_delay=1")
    try:
        failed = control.play("verify", "--limit", SERVING, *quick, fails=True)
    finally:
        site.ssh(SERVING, f"systemd-run --quiet --collect --unit=stand-in-pages {PAGES}")
    assert failed.recap[SERVING]["failed"] == 1
    assert "https://10.77.0.13:30090/-/healthy" in failed.output


def test_verify_follows_the_first_model_and_says_what_it_waits_for(control, site):
    loop = {name: site.hosts[name].root / "var/lib/stand-in/loop" for name in (DATA, SERVING)}
    quick = ("-e", "verify_retries=2", "-e", "verify_delay=1")
    try:
        for path in loop.values():
            path.write_text("paused")
        paused = control.play("verify", *quick)
        assert "paused in Airflow (load_raw_data, preprocess_incremental, train_and_register)" in paused.said
        assert "risk of readmission" not in paused.said
        for path in loop.values():
            path.write_text("failed")
        failed = control.play("verify", *quick, fails=True)
        assert "preprocess_incremental produced the processed tables in 9.0 s" in failed.said
        assert "The run scheduled__1 of the DAG train_and_register failed" in failed.said
        assert "Open the pages" not in failed.output
    finally:
        for path in loop.values():
            path.unlink()


def test_a_further_host_joins_as_a_worker_and_upgrades_go_host_by_host(control, site):
    text = control.inventory.read_text().replace(
        f"{DATA}: {{node_ip: 10.77.0.11}}",
        f"{DATA}: {{node_ip: 10.77.0.11}}\n        {WORKER}: {{node_ip: 10.77.0.21}}",
    )
    control.inventory.write_text(text)
    control.play("site", "--limit", "data", "--tags", "base,firewall,microk8s")
    token = "0123456789abcdef0123456789abcdef"
    assert [call for call in site.calls(WORKER) if " join " in call] == [
        f"microk8s join 10.77.0.11:25000/{token} --worker"
    ]
    # Its kubelet has a certificate of the control plane's authority, and follows if the control plane moves.
    provider = site.hosts[WORKER].root / "var/snap/microk8s/current/args/traefik/provider.yaml"
    provider.write_text(provider.read_text().replace("10.77.0.11:16443", "10.77.0.10:16443"))
    control.play("site", "--limit", "data", "--tags", "microk8s")
    assert "- address: 10.77.0.11:16443\n" in provider.read_text()
    assert site.calls(WORKER).count("snap restart microk8s.daemon-apiserver-proxy") == 1
    kubelet = str(site.hosts[WORKER].root) + f"{CERTIFICATES}/kubelet.crt"
    authority = str(site.hosts[DATA].root) + f"{CERTIFICATES}/ca.crt"
    machines.run(["openssl", "verify", "-CAfile", authority, kubelet])
    assert (
        "does match"
        in machines.run(["openssl", "x509", "-noout", "-in", kubelet, "-checkip", "10.77.0.21"]).stdout
    )
    rules = machines.inside(
        site.hosts[DATA].namespace, ["nft", "list", "table", "inet", "readmission"]
    ).stdout
    assert re.search(r"tcp dport \{[^}]*16443[^}]*\} ip saddr (\{ )?10\.77\.0\.21", rules)

    refused = control.play("upgrade", "-e", "microk8s_channel=1.37/stable", fails=True)
    assert "one minor version" in refused.said
    control.play("upgrade", "-e", "microk8s_channel=1.36/stable")
    steps = [
        (host, step)
        for _, host, call in sorted(
            (when, host, call) for host in site.hosts for when, call in site.timed_calls(host)
        )
        for step in re.findall(r"refresh microk8s --channel=\S+|drain \S+|uncordon \S+", call)
    ]
    refresh = "refresh microk8s --channel=1.36/stable"
    assert steps == [
        (DATA, refresh),
        (DATA, f"drain {WORKER}"),
        (WORKER, refresh),
        (DATA, f"uncordon {WORKER}"),
        (TRACKING, refresh),
        (SERVING, refresh),
    ]
    again = control.play("upgrade", "-e", "microk8s_channel=1.36/stable")
    assert again.changed == dict.fromkeys(site.hosts, 0)


def test_reset_has_to_be_meant_and_leaves_nothing_behind(
    deployed, control, site, snapshot, fleeting, changed_files
):
    control.play("reset", fails=True)
    assert not any(changed_files().values())
    control.play("reset", "-e", "reset_confirm=destroy")
    packages = re.compile(
        r"^/var/(lib/(dpkg|apt|systemd|prometheus|ucf)|cache)/|^/etc/(passwd|group|shadow|gshadow|sub[ug]id)-?$"
    )
    after = lasting(site, snapshot, fleeting)
    left = {
        name: {
            path
            for path in after[name].keys() - deployed.before_check[name].keys()
            if not packages.search(path)
        }
        for name in site.hosts
    }
    assert left == {name: set() for name in site.hosts}
    for name, host in site.hosts.items():
        tables = machines.inside(host.namespace, ["nft", "list", "tables"]).stdout
        assert tables.strip() == "", name
        listening = machines.inside(host.namespace, ["ss", "-Hltn"]).stdout.splitlines()
        assert {line.split()[3].rpartition(":")[2] for line in listening} == {"22"}, name
    assert control.secrets.exists()
    assert control.play("reset", "-e", "reset_confirm=destroy").changed == dict.fromkeys(site.hosts, 0)
