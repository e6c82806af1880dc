"""Real systemd hosts with ssh on a separate network, like a site's machines. Needs root and nspawn.

The network is in namespaces, with the control machine's end in one of them: nothing of the machine that runs
the tests is touched. Each host also has a NAT interface like VirtualBox's, with the same address on all hosts
and the default route, so that code which takes "the first address" gets a wrong one.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from manifests.support import kustomize

CACHE = Path(__file__).parents[2] / ".cache" / "hosts"
STAND_INS = Path(__file__).parent / "stand_ins"
PREFIX = "readmission"
CONTROL = f"{PREFIX}-control"
STRANGER = f"{PREFIX}-stranger"
CONTROL_IP = "10.77.0.1"
STRANGER_IP = "10.77.0.99"
NAT_IP = "10.0.2.15"
CGROUPS = [Path("/sys/fs/cgroup/systemd"), Path("/sys/fs/cgroup/unified")]
PROGRAMS = ("mmdebstrap", "systemd-nspawn", "ip", "ssh", "ssh-keygen", "git", "nft")
PACKAGES = (
    "ca-certificates,dbus,docker-registry,iproute2,nftables,openssh-server,openssl,prometheus-node-exporter,python3,python3-apt,"
    "python3-yaml,sudo,systemd-sysv,systemd-timesyncd"
)
# Ubuntu's packages for building images; the build itself is a stand-in, so these are empty.
EMPTY_PACKAGES = ("docker.io", "docker-buildx")


class HostsUnavailableError(Exception):
    """Test hosts are not available on this machine; the message says why in one line."""


@dataclass(frozen=True, slots=True)
class Host:
    """A booted host: its name, its address, and the path of its root folder outside."""

    name: str
    ip: str
    root: Path

    @property
    def namespace(self) -> str:
        """The network namespace of the host."""
        return f"{PREFIX}-{self.name}"


@dataclass(frozen=True, slots=True)
class Site:
    """The hosts, and the folder with their ssh key."""

    hosts: dict[str, Host]
    folder: Path

    @property
    def key(self) -> Path:
        """The private ssh key that every host accepts."""
        return self.folder / "id_ed25519"

    def calls(self, name: str) -> list[str]:
        """Return the calls of a host's stand-ins."""
        return [call for _, call in self.timed_calls(name)]

    def timed_calls(self, name: str) -> list[tuple[int, str]]:
        """Return the calls of a host's stand-ins, each with its time on the hosts' common clock."""
        notes = self.hosts[name].root / "var/lib/stand-in/calls"
        if not notes.exists():
            return []
        lines = (line.partition(" ") for line in notes.read_text().splitlines())
        return [(int(when), call) for when, _, call in lines]

    def move(self, name: str, ip: str) -> None:
        """Change the address of a host; its ssh host key stays the same."""
        host = self.hosts[name]
        run(["ip", "-n", host.namespace, "address", "flush", "dev", "lan0", "scope", "global"])
        run(["ip", "-n", host.namespace, "address", "add", f"{ip}/24", "dev", "lan0"])
        known = self.folder / "known_hosts"
        known.write_text(known.read_text().replace(f"{host.ip} ", f"{ip} "))
        self.hosts[name] = replace(host, ip=ip)

    def ssh(self, name: str, command: str) -> str:
        """Run a command on a host as root over ssh; return its output."""
        host = self.hosts[name]
        options = ["-o", "BatchMode=yes", "-o", f"UserKnownHostsFile={self.folder}/known_hosts"]
        target = [*options, "-i", str(self.key), f"ubuntu@{host.ip}", "sudo", "sh", "-c"]
        return inside(CONTROL, ["ssh", *target, f"'{command}'"]).stdout


def inside(namespace: str, command: Sequence[str], **more: object) -> subprocess.CompletedProcess[str]:
    """Run a command in a network namespace."""
    return run(["ip", "netns", "exec", namespace, *command], **more)


def run(command: Sequence[str], **more: object) -> subprocess.CompletedProcess[str]:
    """Run a command that must succeed; otherwise raise an error with its output."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, **more)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    return done


@contextlib.contextmanager
def booted(addresses: dict[str, str]) -> Iterator[Site]:
    """Boot a host for each name with its address; always stop all of them at the end."""
    if os.geteuid():
        raise HostsUnavailableError("three hosts need root")
    if missing := [program for program in PROGRAMS if shutil.which(program) is None]:
        raise HostsUnavailableError(f"three hosts need {', '.join(missing)}: .ci/system-parts installs them")
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock, contextlib.ExitStack() as stack:
        fcntl.flock(lock, fcntl.LOCK_EX)
        tree = _tree()
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="readmission-hosts-")))
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "id_ed25519")])
        hosts = {name: Host(name, ip, folder / name / "root") for name, ip in addresses.items()}
        _lan(stack, hosts)
        for host in hosts.values():
            _boot(stack, host, tree, folder)
        site = Site(hosts, folder)
        for host in hosts.values():
            _wait_for_ssh(site, host)
        yield site


def _tree() -> Path:
    """Return the root file system that the hosts share, created once."""
    recipe = hashlib.sha256(f"{PACKAGES} {EMPTY_PACKAGES} 3".encode()).hexdigest()[:12]
    tree = CACHE / f"bookworm-{recipe}"
    if tree.exists():
        return tree
    unfinished = tree.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    mirror = run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Codename: bookworm", "Component: main"]
    ).stdout.split()
    if not mirror:
        raise HostsUnavailableError(
            "three hosts need Debian bookworm's packages, and apt has no source of them"
        )
    arguments = ["--variant=minbase", f"--include={PACKAGES}", "bookworm", str(unfinished), mirror[0]]
    run(["mmdebstrap", "--quiet", *arguments])
    for name in EMPTY_PACKAGES:
        package = unfinished / "root" / name
        (package / "DEBIAN").mkdir(parents=True)
        (package / "DEBIAN" / "control").write_text(
            f"Package: {name}\nVersion: 1\nArchitecture: all\nMaintainer: tests\nDescription: stand-in\n"
        )
        run(["dpkg-deb", "--build", str(package), f"{package}.deb"])
        run(["chroot", str(unfinished), "dpkg", "-i", f"/{package.parent.name}/{name}.deb"])
    run(["chroot", str(unfinished), "useradd", "--create-home", "--shell", "/bin/bash", "ubuntu"])
    (unfinished / "etc/sudoers.d/ubuntu").write_text("ubuntu ALL=(ALL) NOPASSWD: ALL\n")
    # The registry starts with MicroK8s' addon.
    run(["systemctl", f"--root={unfinished}", "disable", "--quiet", "docker-registry"])
    # A fresh cloud image has no running exporter and no foreign host keys.
    for path in [
        *(unfinished / "etc/ssh").glob("ssh_host_*"),
        *(unfinished / "var/cache/apt/archives").glob("*.deb"),
    ]:
        path.unlink()
    unfinished.rename(tree)
    return tree


def _lan(stack: contextlib.ExitStack, hosts: dict[str, Host]) -> None:
    """Create a bridge in the control machine's namespace, with links to each host and to an unknown host."""

    def namespace(name: str) -> None:
        # Left behind by a dead run: we hold the lock.
        subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)
        run(["ip", "netns", "add", name])
        stack.callback(subprocess.run, ["ip", "netns", "delete", name], capture_output=True, check=False)
        run(["ip", "-n", name, "link", "set", "lo", "up"])

    def leg(number: int, name: str, address: str) -> None:
        end = f"leg{number}"
        run(["ip", "-n", CONTROL, "link", "add", end, "type", "veth", "peer", "name", "lan0", "netns", name])
        run(["ip", "-n", CONTROL, "link", "set", end, "master", "lan", "up"])
        run(["ip", "-n", name, "address", "add", f"{address}/24", "dev", "lan0"])
        run(["ip", "-n", name, "link", "set", "lan0", "up"])

    namespace(CONTROL)
    run(["ip", "-n", CONTROL, "link", "add", "lan", "type", "bridge"])
    run(["ip", "-n", CONTROL, "address", "add", f"{CONTROL_IP}/24", "dev", "lan"])
    run(["ip", "-n", CONTROL, "link", "set", "lan", "up"])
    namespace(STRANGER)
    leg(0, STRANGER, STRANGER_IP)
    for number, host in enumerate(hosts.values(), 1):
        namespace(host.namespace)
        run(["ip", "-n", host.namespace, "link", "add", "nat0", "type", "bridge"])
        run(["ip", "-n", host.namespace, "address", "add", f"{NAT_IP}/24", "dev", "nat0"])
        run(["ip", "-n", host.namespace, "link", "set", "nat0", "up"])
        run(["ip", "-n", host.namespace, "route", "add", "default", "via", "10.0.2.2", "dev", "nat0"])
        leg(number, host.namespace, host.ip)


def _boot(stack: contextlib.ExitStack, host: Host, tree: Path, folder: Path) -> None:
    for part in ("upper", "work", "root"):
        (folder / host.name / part).mkdir(parents=True)
    layers = f"lowerdir={tree},upperdir={folder}/{host.name}/upper,workdir={folder}/{host.name}/work"
    run(["mount", "-t", "overlay", host.namespace, "-o", layers, str(host.root)])
    stack.callback(run, ["umount", "--lazy", str(host.root)])
    (host.root / "etc/hostname").write_text(f"{host.name}\n")
    (host.root / "etc/hosts").write_text(f"127.0.0.1 localhost\n127.0.1.1 {host.name}\n")
    (host.root / "etc/resolv.conf").write_text("")
    # As on a machine with current package lists: the hosts cannot reach a mirror.
    stamp = host.root / "var/lib/apt/periodic/update-success-stamp"
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.touch()
    for name in ("snap", "microk8s", "docker"):
        shutil.copy(STAND_INS / f"{name}.py", host.root / "usr/local/bin" / name)
        (host.root / "usr/local/bin" / name).chmod(0o755)
    # The empty Docker package has no service.
    (host.root / "etc/systemd/system/docker.service").write_text(
        "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n"
    )
    shutil.copy(STAND_INS / "registry.yml", host.root / "usr/local/lib/registry.yml")
    shutil.copy(STAND_INS / "build.py", host.root / "usr/local/lib/build.py")
    shutil.copy(STAND_INS / "pages.py", host.root / "usr/local/lib/pages.py")
    run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(host.root / "etc/ssh/ssh_host_ed25519_key")]
    )
    with (folder / "known_hosts").open("a") as known:
        public = (host.root / "etc/ssh/ssh_host_ed25519_key.pub").read_text().split()
        known.write(f"{host.ip} {public[0]} {public[1]}\n")
    ssh = host.root / "home/ubuntu/.ssh"
    ssh.mkdir(mode=0o700)
    shutil.copy(folder / "id_ed25519.pub", ssh / "authorized_keys")
    run(["chroot", str(host.root), "chown", "-R", "ubuntu:ubuntu", "/home/ubuntu"])

    groups = [controller / host.namespace for controller in CGROUPS if controller.is_dir()]
    for group in groups:
        group.mkdir(exist_ok=True)

    def enter() -> None:
        for group in groups:
            (group / "cgroup.procs").write_text(str(os.getpid()))

    builder, word = kustomize.program()
    builder = shutil.which(builder)
    inside_host = f"/usr/local/bin/{Path(builder).name}"
    wrapper = host.root / "usr/local/bin/kustomize-build"
    wrapper.write_text(f'#!/bin/sh\nexec {inside_host} {word} "$@"\n')
    wrapper.chmod(0o755)
    command = [
        "systemd-nspawn",
        "--quiet",
        "--keep-unit",
        "--register=no",
        "--resolv-conf=off",
        "--console=passive",
        "--capability=CAP_NET_ADMIN",
    ]
    command += [
        "-D",
        str(host.root),
        "-M",
        host.name,
        f"--network-namespace-path=/run/netns/{host.namespace}",
    ]
    log = (folder / host.name / "console").open("wb")
    stack.callback(log.close)
    machine = subprocess.Popen(
        [*command, f"--bind-ro={builder}:{inside_host}", "-b"],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        preexec_fn=enter,  # noqa: PLW1509 (nspawn stays in the cgroup it begins in)
    )

    def end() -> None:
        machine.terminate()
        try:
            machine.wait(20)
        except subprocess.TimeoutExpired:
            machine.kill()
            machine.wait()
        for group in groups:
            _remove_cgroup(group)

    stack.callback(end)


def _remove_cgroup(group: Path) -> None:
    for folder in sorted((path for path in group.rglob("*") if path.is_dir()), reverse=True):
        folder.rmdir()
    group.rmdir()


def _wait_for_ssh(site: Site, host: Host) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            site.ssh(host.name, "systemctl is-system-running --wait || true")
        except RuntimeError as error:
            if time.monotonic() > deadline:
                console = (site.folder / host.name / "console").read_text(errors="replace")
                raise RuntimeError(f"{host.name} does not answer: {error}\n{console[-2000:]}") from error
            time.sleep(0.2)
        else:
            return


if __name__ == "__main__":
    with booted(
        {"server1-data": "10.77.0.11", "server2-tracking": "10.77.0.12", "server3-serving": "10.77.0.13"}
    ) as up:
        print(up.folder, file=sys.stderr)  # noqa: T201 (by hand, to look around)
        input("Enter ends the hosts")
