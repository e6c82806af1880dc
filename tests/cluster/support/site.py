"""The project's own playbooks, run against the clusters, and the secrets and certificates that they made."""

import json
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from cluster.support.commands import LabError, run
from cluster.support.layout import CHECKOUT, FOLDERS, GATEWAY, LAB, NETWORK
from cluster.support.node import Node

TAGS = "deploy,verify"
"""Without the roles that manage a real machine: base, firewall, microk8s, registry_client, image_build."""
DATASET = f"http://{GATEWAY}/diabetes-130-us-hospitals.zip"


@dataclass(frozen=True)
class Play:
    """What a playbook did: how many tasks changed each host, what it printed, and the seconds."""

    changed: dict[str, int]
    output: str
    seconds: float


class PlayError(LabError):
    """A playbook failed; the message is the end of what it printed."""


class Site:
    """An inventory and the playbooks of this checkout."""

    def __init__(self, inventory: Path, release: str, *, tags: str | None = None) -> None:
        self.inventory = inventory
        self.release = release
        self.tags = tags
        self._hosts = self._read_inventory()

    def play(self, playbook: str, *arguments: str, tags: str | None = None, seconds: float = 1800) -> Play:
        """Run a playbook. Raise PlayError if a host fails."""
        chosen = tags if tags is not None else self.tags if playbook == "site" else None
        command = [
            self._program("ansible-playbook"), "-i", self.inventory, f"playbooks/{playbook}.yml",
            "-e", f"release_ref={self.release}", *(["--tags", chosen] if chosen else []), *arguments,
        ]  # fmt: skip
        began = time.monotonic()
        done = subprocess.run(
            command, cwd=CHECKOUT / "ansible", env={**os.environ, "ANSIBLE_NOCOLOR": "1"},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=seconds, check=False,
        )  # fmt: skip
        if done.returncode:
            raise PlayError(f"{playbook}.yml failed\n{done.stdout[-6000:]}")
        changed = {
            host: int(count)
            for host, count in re.findall(r"^(\S+)\s+: ok=\d+\s+changed=(\d+)", done.stdout, re.MULTILINE)
        }
        return Play(changed, done.stdout, time.monotonic() - began)

    def secrets(self) -> dict[str, Any]:
        """Return the site's secrets in clear."""
        file, key = self._path("secrets_file"), self._path("secrets_key_file")
        said = run(self._program("ansible-vault"), "view", "--vault-password-file", key, file)
        found: dict[str, Any] = yaml.safe_load(said)
        return found

    @property
    def authority(self) -> Path:
        """Return the certificate that every address of the site is signed by."""
        return self._path("secrets_file").parent / "ca.crt"

    def address(self, group: str) -> str:
        """Return the address of a group's first host."""
        first = self._hosts[group]["hosts"][0]
        found: str = self._hosts["_meta"]["hostvars"][first]["node_ip"]
        return found

    def _path(self, name: str) -> Path:
        defaults = {
            "secrets_file": CHECKOUT / "ansible" / "inventory" / "secrets.vault.yml",
            "secrets_key_file": Path.home() / ".config" / "readmission" / "vault.key",
        }
        first = self._hosts["data"]["hosts"][0]
        return Path(self._hosts["_meta"]["hostvars"][first].get(name, defaults[name])).expanduser()

    def _read_inventory(self) -> dict[str, Any]:
        said = run(
            self._program("ansible-inventory"), "-i", self.inventory, "--list", cwd=CHECKOUT / "ansible"
        )
        found: dict[str, Any] = json.loads(said)
        return found

    def _program(self, name: str) -> str:
        return str(Path(sys.executable).with_name(name))


def write_inventory(
    nodes: dict[str, Node], settings: dict[str, Any], workers: dict[str, Node] | None = None
) -> Path:
    """Write the lab's nodes as an inventory: all happens on this machine, in folders of the lab."""
    folder = LAB / "site"
    (folder / "key").mkdir(parents=True, exist_ok=True)
    children: dict[str, Any] = {}
    for group, node in nodes.items():
        hosts = {FOLDERS[group]: _host(node)}
        for name, worker in (workers or {}).items():
            if worker.group == group:
                hosts[f"{FOLDERS[group]}-{name.rpartition('-')[2]}"] = _host(worker)
        children[group] = {"hosts": hosts, "vars": settings.get(group, {})}
    known = {
        "ansible_connection": "local",
        "ansible_user": "root",
        "ansible_become": False,
        "secrets_file": f"{folder}/secrets.vault.yml",
        "secrets_key_file": f"{folder}/key/vault.key",
        # The lab's Alertmanager has nobody to write to.
        "deploy_without_mail": True,
        "firewall_admin_networks": [f"{NETWORK}.0/24"],
        "firewall_user_networks": [f"{NETWORK}.0/24"],
        **settings.get("all", {}),
    }
    path = folder / "hosts.yml"
    path.write_text(yaml.safe_dump({"all": {"vars": known, "children": children}}))
    return path


def _host(node: Node) -> dict[str, Any]:
    return {
        "ansible_python_interpreter": f"{node.home}/python",
        "node_ip": node.address,
        "platform_folder": f"{LAB}/site/{node.name}",
        "platform_deploy_folder": f"{LAB}/site/{node.name}/deploy",
    }
