"""A site: three hosts, the repository's own inventory pointed at them, and the playbooks."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from hosts import machines

CHECKOUT = Path(__file__).parents[2]
ANSIBLE = CHECKOUT / "ansible"
PROGRAMS = Path(sys.executable).parent
# The last one joins later, as a worker.
ADDRESSES = {
    "server1-data": "10.77.0.11",
    "server2-tracking": "10.77.0.12",
    "server3-serving": "10.77.0.13",
    "server1-worker": "10.77.0.21",
}


@dataclass(frozen=True, slots=True)
class Played:
    """A playbook's output, and the counts of its recap: {host: {ok: 1, changed: 0, ...}}."""

    output: str
    recap: dict[str, dict[str, int]]
    code: int

    @property
    def said(self) -> str:
        """Return the output on one line: Ansible breaks the lines of long messages."""
        return " ".join(self.output.split())

    @property
    def changed(self) -> dict[str, int]:
        """The number of tasks that changed something, by host."""
        return {host: counts["changed"] for host, counts in self.recap.items()}


@dataclass(slots=True)
class Control:
    """The control machine: its copy of the inventory, its secrets, and the output of all its plays."""

    folder: Path
    site: machines.Site
    release: str
    said: list[str] = field(default_factory=list)

    @property
    def inventory(self) -> Path:
        return self.folder / "hosts.yml"

    @property
    def secrets(self) -> Path:
        return self.folder / "secrets.vault.yml"

    @property
    def key(self) -> Path:
        return self.folder / "config" / "vault.key"

    def play(self, playbook: str, *arguments: str, fails: bool = False) -> Played:
        """Run a playbook over ssh from the control machine's network namespace."""
        settings = {
            "secrets_file": self.secrets,
            "secrets_key_file": self.key,
            "image_build_script": "/usr/local/lib/build.py",
            "deploy_without_mail": "true",
            "verify_retries": 12,
            "verify_delay": 5,
        }
        # A rollback finds the release itself.
        if playbook != "rollback":
            settings["release_ref"] = self.release
        command = ["ip", "netns", "exec", machines.CONTROL, PROGRAMS / "ansible-playbook"]
        command += ["-i", self.inventory, "--private-key", self.site.key, f"playbooks/{playbook}.yml"]
        for name, value in settings.items():
            command += ["-e", f"{name}={value}"]
        known = f"-o UserKnownHostsFile={self.site.folder}/known_hosts"
        ssh = f"-o ControlMaster=auto -o ControlPersist=60s {known}"
        environment = os.environ | {
            "ANSIBLE_SSH_ARGS": ssh,
            "ANSIBLE_LOCAL_TEMP": str(self.folder / "tmp"),
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self.folder / "cp"),
            "ANSIBLE_NOCOLOR": "1",
            # More time, for machines that run another suite too.
            "ANSIBLE_TIMEOUT": "60",
            # Prints a failure's message in one piece; with -v, also the results.
            "ANSIBLE_CALLBACK_RESULT_FORMAT": "yaml",
        }
        started = time.monotonic()
        done = subprocess.run(
            [*command, "-v", *arguments],
            cwd=ANSIBLE,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        output = done.stdout + done.stderr
        self.said.append(output)
        sys.stdout.write(f"{playbook} {' '.join(arguments)}: {time.monotonic() - started:.1f} s\n")
        if bool(done.returncode) != fails:
            pytest.fail(f"{playbook} ended with {done.returncode}\n{output[-6000:]}", pytrace=False)
        lines = re.findall(r"^(\S+)\s+: (ok=.*)$", output, re.MULTILINE)
        recap = {
            host: {name: int(count) for name, count in re.findall(r"(\w+)=(\d+)", counts)}
            for host, counts in lines
        }
        return Played(output, recap, done.returncode)

    def kept(self) -> dict[str, object]:
        """Return the secrets in the encrypted file, read with ansible-vault."""
        import yaml  # noqa: PLC0415 (of this environment alone)

        command = [PROGRAMS / "ansible-vault", "view", "--vault-password-file", self.key, self.secrets]
        return yaml.safe_load(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.fixture(scope="session")
def site() -> Iterator[machines.Site]:
    """Three booted hosts. If they are not available, CI fails and other runs skip."""
    try:
        with machines.booted(ADDRESSES) as up:
            yield up
    except machines.HostsUnavailableError as error:
        if os.environ.get("CI"):
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def control(site: machines.Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Control]:
    """A control machine with the example inventory, adapted to the network of the hosts."""
    folder = tmp_path_factory.mktemp("control")
    example = (ANSIBLE / "inventory" / "hosts.example.yml").read_text()
    example = example.replace("192.168.56.0/24", f"{machines.CONTROL_IP}/32").replace(
        "192.168.56.", "10.77.0."
    )
    (folder / "hosts.yml").write_text(example)
    release = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    yield Control(folder, site, release.stdout.strip())
    shutil.rmtree(folder)


Snapshot = dict[str, bytes]


@pytest.fixture(scope="session")
def snapshot(site: machines.Site) -> Callable[[str], Snapshot]:
    """A function that returns all files of a host that differ from the base image: content by path."""

    def read(name: str) -> Snapshot:
        upper = site.hosts[name].root.parent / "upper"
        files = (path for path in upper.rglob("*") if path.is_file() and not path.is_symlink())
        return {f"/{path.relative_to(upper)}": path.read_bytes() for path in files}

    return read


@dataclass(frozen=True, slots=True)
class Deployed:
    """A site that was deployed in check mode on fresh hosts, then for real, and then again."""

    before_check: dict[str, Snapshot]
    check: Played
    after_check: dict[str, Snapshot]
    control_after_check: set[str]
    first: Played
    second: Played


# Files that any login changes, and apt's caches.
FLEETING = re.compile(
    r"^/(run|tmp|var/(log|tmp|cache/apt|lib/(systemd|stand-in|prometheus/node-exporter)))/"
    r"|^/home/ubuntu/\.ansible/|/machine-id$|^/root/"
)


@pytest.fixture(scope="session")
def fleeting() -> re.Pattern[str]:
    """The paths that a login or a timer changes on any host."""
    return FLEETING


@pytest.fixture(scope="session")
def deployed(site: machines.Site, control: Control, snapshot: Callable[[str], Snapshot]) -> Deployed:
    """Play site.yml three times: in check mode, for real, and again."""

    def lasting() -> dict[str, Snapshot]:
        return {
            name: {path: content for path, content in snapshot(name).items() if not FLEETING.search(path)}
            for name in site.hosts
        }

    before = lasting()
    # With --diff, because secrets could appear in differences.
    check = control.play("site", "--check", "--diff")
    after = lasting()
    made = {path.name for path in control.folder.iterdir()} - {"tmp", "cp"}
    return Deployed(before, check, after, made, control.play("site", "--diff"), control.play("site"))
