"""The weekly renewal of certificates: the units that schedule.yml writes. Needs no host."""

import configparser
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ANSIBLE = Path(__file__).parents[2] / "ansible"
PLAYBOOK = Path(sys.executable).with_name("ansible-playbook")


@pytest.fixture(scope="module")
def units(tmp_path_factory):
    """Return the folder with the units, written for a separate inventory."""
    folder = tmp_path_factory.mktemp("schedule")
    inventory = folder / "hosts.yml"
    inventory.write_text("all: {children: {data: {}, tracking: {}, serving: {}}}\n")
    subprocess.run(
        [
            PLAYBOOK, f"--inventory={inventory}", "playbooks/schedule.yml", "--skip-tags=start",
            "-e", f"schedule_folder={folder / 'units'}",
        ],
        cwd=ANSIBLE, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "HOME": str(folder)},
    )  # fmt: skip
    return folder / "units"


def read(path):
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str
    parser.read(path)
    return parser


def test_systemd_accepts_the_units(units):
    names = ("readmission-renew.service", "readmission-renew.timer")
    ran = subprocess.run(
        ["systemd-analyze", "verify", "--user", *(units / name for name in names)],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "SYSTEMD_LOG_LEVEL": "warning", "XDG_RUNTIME_DIR": str(units)},
    )
    assert [line for line in ran.stderr.splitlines() if "readmission-renew" in line] == []
    timer = read(units / "readmission-renew.timer")["Timer"]
    elapses = subprocess.run(
        ["systemd-analyze", "calendar", "--iterations=2", timer["OnCalendar"]],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert elapses.count("Mon ") >= 2
    assert timer["Persistent"] == "true"


def test_the_service_runs_the_renewal_with_the_same_inventory(units):
    service = read(units / "readmission-renew.service")["Service"]
    assert service["WorkingDirectory"] == str(ANSIBLE)
    command = shlex.split(service["ExecStart"])
    assert command[1] == f"--inventory={units.parent / 'hosts.yml'}"
    ran = subprocess.run(
        [*command, "--list-tasks"],
        cwd=service["WorkingDirectory"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert "Renew the site's certificates" in ran.stdout
