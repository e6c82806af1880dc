"""The configuration files of a node: containerd, CNI, kubelet, and what Ansible runs there."""

import json
import sys
from pathlib import Path

from cluster.support.layout import DNS, REGISTRY

CONTROLLERS = (
    "cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "hugetlb", "perf_event",
    "net_cls", "net_prio", "systemd",
)  # fmt: skip
GROUPS = Path("/sys/fs/cgroup")
STAND_INS = Path(__file__).with_name("stand_ins")


def write_containerd(home: Path, root: Path) -> Path:
    """Write containerd's settings; `root` holds what it pulls. Return the file's path."""
    registry = home / "certs.d" / REGISTRY
    registry.mkdir(parents=True, exist_ok=True)
    # As the role registry_client writes it.
    (registry / "hosts.toml").write_text(
        f'server = "http://{REGISTRY}"\n[host."http://{REGISTRY}"]\ncapabilities = ["pull", "resolve"]\n'
    )
    snapshotters = ", ".join(
        f'"io.containerd.snapshotter.v1.{name}"' for name in ("aufs", "btrfs", "devmapper", "zfs")
    )
    path = home / "containerd.toml"
    path.write_text(f"""version = 2
root = "{root}"
state = "{home}/containerd-state"
disabled_plugins = [{snapshotters}]
[grpc]
address = "{home}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "docker.io/lab/pause:1"
disable_apparmor = true
# A machine without CAP_SYS_RESOURCE cannot protect a process from the OOM killer.
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{home}/cni"
[plugins."io.containerd.grpc.v1.cri".registry]
config_path = "{home}/certs.d"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
""")
    return path


def write_pod_network(home: Path, name: str, subnet: str) -> None:
    """Write the CNI configuration that gives pods addresses of a subnet."""
    addresses = {
        "type": "host-local",
        "subnet": subnet,
        "dataDir": f"{home}/cni-addresses",
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    plugins = [
        {"type": "ptp", "ipam": addresses},
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ]
    (home / "cni").mkdir(exist_ok=True)
    (home / "cni" / "10-lab.conflist").write_text(
        json.dumps({"cniVersion": "0.4.0", "name": name, "plugins": plugins})
    )


def write_kubelet(home: Path, authority: Path, group: str) -> Path:
    """Write the kubelet's settings. Return the file's path."""
    (home / "resolv.conf").write_text("")
    settings = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": f"unix://{home}/containerd.sock",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{group}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "clusterDNS": [DNS],
        "clusterDomain": "cluster.local",
        "resolvConf": f"{home}/resolv.conf",
        "authentication": {
            "x509": {"clientCAFile": f"{authority}/ca.crt"},
            "webhook": {"enabled": True},
            "anonymous": {"enabled": False},
        },
        "authorization": {"mode": "Webhook"},
        "podLogsDir": f"{home}/pods",
        "volumePluginDir": f"{home}/volume-plugins",
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "2%", "imagefs.available": "2%"},
    }
    path = home / "kubelet.yaml"
    path.write_text(json.dumps(settings))
    return path


def write_host_programs(home: Path, namespace: str, kubelite: Path) -> None:
    """Write what stands for the machine that Ansible manages: a Python in its network, and its `microk8s`."""
    programs = home / "bin"
    programs.mkdir(exist_ok=True)
    for path in STAND_INS.iterdir():
        target = programs / path.name
        target.write_text(
            path.read_text()
            .replace("@KUBELITE@", str(kubelite))
            .replace("@KUBECONFIG@", f"{home}/admin.kubeconfig")
        )
        target.chmod(0o755)
    python = home / "python"
    python.write_text(
        f'#!/bin/sh\nPATH={programs}:$PATH exec nsenter --net=/run/netns/{namespace} {sys.executable} "$@"\n'
    )
    python.chmod(0o755)


def create_group(name: str) -> None:
    """Make the control group below which the kubelet puts all pods of a node."""
    if (GROUPS / "cgroup.controllers").exists():
        (GROUPS / name).mkdir(exist_ok=True)
        return
    for controller in CONTROLLERS:
        if (GROUPS / controller).is_dir():
            group = GROUPS / controller / name
            group.mkdir(exist_ok=True)
            if controller == "cpuset":
                for setting in ("cpuset.cpus", "cpuset.mems"):
                    (group / setting).write_text((group.parent / setting).read_text())


def delete_group(name: str) -> None:
    """Remove a node's control groups; no process may be left in them."""
    for root in (GROUPS / name, *(GROUPS / controller / name for controller in CONTROLLERS)):
        if root.exists():
            folders = [path for path in root.rglob("*") if path.is_dir()]
            for folder in [*sorted(folders, reverse=True), root]:
                try:
                    folder.rmdir()
                except OSError:
                    # A process that was killed a moment ago; the next start uses the group again.
                    continue
