"""The Vagrantfile, read by Vagrant itself for both providers. No machine boots."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path):
    """A copy of the files that Vagrant reads, and a VBoxManage that only prints its version."""
    if shutil.which("vagrant") is None:
        if os.environ.get("CI"):
            pytest.fail("vagrant is missing: .ci/system-parts installs it", pytrace=False)
        pytest.skip("vagrant is missing")
    shutil.copy(CHECKOUT / "Vagrantfile", tmp_path)
    shutil.copytree(CHECKOUT / "vagrant", tmp_path / "vagrant")
    for name in ("ansible.cfg", "playbooks/site.yml"):
        (tmp_path / "ansible" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(CHECKOUT / "ansible" / name, tmp_path / "ansible" / name)
    manage = tmp_path / "bin" / "VBoxManage"
    manage.parent.mkdir()
    manage.write_text("#!/bin/sh\necho 7.0.20r163906\n")
    manage.chmod(0o755)
    return tmp_path


def validate(project, provider):
    environment = os.environ | {
        "PATH": f"{project / 'bin'}:{os.environ['PATH']}",
        "VAGRANT_HOME": str(project / "home"),
        "VAGRANT_CHECKPOINT_DISABLE": "1",
        "VAGRANT_DEFAULT_PROVIDER": provider,
    }
    return subprocess.run(
        ["vagrant", "validate"], cwd=project, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("provider", ["virtualbox", "libvirt"])
def test_the_file_is_valid(project, provider):
    done = validate(project, provider)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "validated successfully" in done.stdout


@pytest.mark.parametrize(
    ("provider", "right", "wrong"),
    [
        ("virtualbox", "virtualbox.linked_clone", "virtualbox.linked_clnoe"),
        ("libvirt", "libvirt.machine_virtual_size", "libvirt.machine_virtual_siez"),
        ("virtualbox", "ansible.playbook =", "ansible.playbok ="),
        ("libvirt", "machine.vm.hostname", "machine.vm.hostnaem"),
        ("virtualbox", "config.vm.box_check_update", "config.vm.box_chekc_update"),
    ],
)
def test_a_typo_in_any_block_is_caught(project, provider, right, wrong):
    text = (project / "Vagrantfile").read_text()
    assert right in text
    (project / "Vagrantfile").write_text(text.replace(right, wrong))
    done = validate(project, provider)
    assert done.returncode != 0
    assert wrong.rpartition(".")[2].removesuffix(" =") in done.stdout + done.stderr


def test_a_role_that_does_not_exist_is_named(project):
    (project / "vagrant" / "nodes.yml").write_text(
        (CHECKOUT / "vagrant" / "nodes.yml").read_text().replace("role: serving", "role: servign")
    )
    done = validate(project, "libvirt")
    assert done.returncode != 0
    assert "server3-serving has role servign" in done.stdout + done.stderr


def test_the_example_inventory_has_vagrants_addresses():
    nodes = yaml.safe_load((CHECKOUT / "vagrant" / "nodes.yml").read_text())["nodes"]
    groups = yaml.safe_load((CHECKOUT / "ansible/inventory/hosts.example.yml").read_text())["all"]["children"]
    assert {node["name"]: node["ip"] for node in nodes} == {
        name: values["node_ip"] for group in groups.values() for name, values in group["hosts"].items()
    }


def test_machines_come_one_after_the_other(project):
    (project / "Vagrantfile").write_text(
        (project / "Vagrantfile").read_text()
        + """
puts "parallel: #{ENV.key?('VAGRANT_NO_PARALLEL') ? 'no' : 'yes'}"
"""
    )
    done = validate(project, "libvirt")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "parallel: no" in done.stdout


def test_a_later_run_has_the_options_of_the_first(project):
    """Vagrant writes these variables into the inventory that the guide uses for later runs."""
    text = (project / "Vagrantfile").read_text()
    place = "        ansible.host_vars ="
    assert place in text
    shown = '        puts "inventory: #{JSON.generate(ansible.groups)}"\n'
    (project / "Vagrantfile").write_text(text.replace(place, shown + place))
    done = validate(project, "libvirt")
    assert done.returncode == 0, done.stdout + done.stderr
    groups = json.loads(re.search(r"^inventory: (.+)$", done.stdout, re.MULTILINE)[1])
    options = groups["all:vars"]["ansible_ssh_common_args"]
    assert {"StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null"} <= set(options.split())
    # The networks that Vagrant itself logs in from.
    assert {"10.0.2.0/24", "192.168.121.0/24"} <= set(
        json.loads(groups["all:vars"]["firewall_admin_networks"])
    )
    assert groups["data"] == ["server1-data"]
