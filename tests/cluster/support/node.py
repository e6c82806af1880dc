"""One node of the lab: a whole cluster in a network namespace, or a worker that joins one."""

import contextlib
import shutil
import time
from pathlib import Path

from cluster.support import archives, network, node_files, processes
from cluster.support.commands import run, wait_for
from cluster.support.credentials import Credentials
from cluster.support.layout import (
    ADDRESSES,
    API_PORT,
    CACHE,
    LAB,
    PODS,
    REGISTRY_PORT,
    SERVICES,
    WORKERS,
    group_of,
)

MANIFESTS = Path(__file__).with_name("manifests")
OWN_IMAGES = ("pause", "dns", "probe", "metrics-server")
CONTROL_PLANE = ("hostpath", "scheduler", "controllers")


class Node:
    """A node by its name: `data`, `tracking`, `serving`, or a worker such as `data-2`."""

    def __init__(self, name: str, programs: Path) -> None:
        self.name = name
        self.group = group_of(name)
        self.programs = programs
        self.address = WORKERS[name] if name in WORKERS else ADDRESSES[name]
        self.primary = Node(self.group, programs) if name in WORKERS else None
        self.home = LAB / name
        self.namespace = f"lab-{name}"
        self.processes = processes.Processes(self.home, self.namespace)
        self.kubeconfig = self.home / "admin.kubeconfig"
        self.pulled = CACHE / "nodes" / name
        """What containerd pulled. It outlives the run, so that the next one pulls what is new."""

    def kubectl(self, *arguments: object, check: bool = True) -> str:
        """Run kubectl against the node's cluster."""
        return run(
            self.programs / "kubelite", "kubectl", f"--kubeconfig={self.kubeconfig}", *arguments, check=check
        )

    def ctr(self, *arguments: object, check: bool = True) -> str:
        """Run containerd's own client."""
        return run(
            "ctr", f"--address={self.home}/containerd.sock", "--namespace=k8s.io", *arguments, check=check
        )

    def up(self) -> float:
        """Start the node and wait until it is ready. Return the seconds that it took."""
        began = time.monotonic()
        self._prepare()
        self._wait((self.home / "containerd.sock").exists, "containerd")
        if not self.primary:
            node_files.write_pod_network(self.home, self.namespace, PODS.replace("0.0/16", "0.0/24"))
            self._start_control_plane()
        self._start_node_programs()
        self._load_own_images()
        self._wait(self.pod_network, "the node")
        if self.primary:
            node_files.write_pod_network(self.home, self.namespace, self.pod_network())
            self.route()
        else:
            files = ["dns.yaml", "storage.yaml", *(["metrics.yaml"] if self.name == "serving" else [])]
            self.kubectl("apply", *(f"--filename={MANIFESTS / name}" for name in files))
        # It reads the pods' network when it starts.
        self.processes.start(
            "policies", self.programs / "kube-router", f"--kubeconfig={self.kubeconfig}",
            "--run-router=false", "--run-service-proxy=false", "--run-firewall=true",
            f"--hostname-override={self.name}", f"--service-cluster-ip-range={SERVICES}",
            "--metrics-port=0", "--health-port=0", "--enable-cni=false",
        )  # fmt: skip
        self.kubectl("wait", "--for=condition=Ready", f"node/{self.name}", "--timeout=180s")
        if not self.primary:
            self.kubectl("-n", "kube-system", "rollout", "status", "deployment/coredns", "--timeout=180s")
        if self.name == "tracking":
            self._start_registry()
        return time.monotonic() - began

    def pod_network(self) -> str:
        """Return the network of the node's pods; empty until it has one."""
        return self.kubectl("get", "node", self.name, "-o", "jsonpath={.spec.podCIDR}", check=False)

    def route(self) -> None:
        """Let the pods of a worker and of its primary reach each other."""
        if not self.primary:
            return
        for here, there in ((self, self.primary), (self.primary, self)):
            run(*here.processes.inside("ip", "route", "replace", there.pod_network(), "via", there.address))

    def load(self, archive: Path) -> None:
        """Import images into the node's containerd."""
        self.ctr("images", "import", archive)

    def down(self, *, keep: bool, hard: bool = False) -> None:
        """Stop the node. `keep` keeps its state for `up`; `hard` kills all, as a power cut does."""
        if hard:
            for name in self.processes.names():
                self.processes.stop(name, hard=True)
        else:
            for name in ("kubelet", "policies", "proxy", *CONTROL_PLANE):
                self.processes.stop(name)
            self._delete_containers()
            for name in ("apiserver", "etcd", "registry", "containerd"):
                self.processes.stop(name)
        self._sweep(keep=keep)
        if not keep:
            shutil.rmtree(self.home, ignore_errors=True)

    def clear(self) -> None:
        """Remove what a killed run left of this node, whatever it is."""
        if self.home.exists():
            self._sweep()
            shutil.rmtree(self.home, ignore_errors=True)
            # It still lists containers that nothing knows any more.
            shutil.rmtree(self.pulled, ignore_errors=True)
        network.delete_namespace(self.namespace)

    def _sweep(self, *, keep: bool = False) -> None:
        processes.kill(processes.of_folder(self.home))
        processes.kill(processes.of_groups(self.namespace))
        for place in _mounts(self.home):
            run("umount", "--lazy", place, check=False)
        network.delete_namespace(self.namespace, keep=keep)
        node_files.delete_group(self.namespace)

    def _prepare(self) -> None:
        for name in ("pki", "cni", "kubelet", "volumes", "etcd"):
            (self.home / name).mkdir(parents=True, exist_ok=True)
        self.home.parent.chmod(0o755)
        self.pulled.mkdir(parents=True, exist_ok=True)
        network.create_namespace(self.namespace, self.address)
        authority = (self.primary or self).home / "pki"
        if not (self.home / "kubelet.kubeconfig").exists():
            credentials = Credentials(self.home, authority)
            if self.primary:
                credentials.create_worker(self.name, self.primary.address, self.primary.kubeconfig)
            else:
                credentials.create_cluster(self.name, self.address)
        settings = node_files.write_containerd(self.home, self.pulled)
        node_files.write_kubelet(self.home, authority, self.namespace)
        node_files.write_host_programs(self.home, self.namespace, self.programs / "kubelite")
        node_files.create_group(self.namespace)
        if not self.processes.pid("containerd"):
            (self.home / "containerd.sock").unlink(missing_ok=True)
        self.processes.start("containerd", "containerd", f"--config={settings}")

    def _load_own_images(self) -> None:
        known = self.ctr("images", "ls", "-q").split()
        for name in OWN_IMAGES:
            # The programs' folder is named by their content.
            mark = f"docker.io/lab/{name}:{self.programs.name}"
            if mark not in known:
                archive = archives.write(
                    self.home / f"{name}.tar",
                    f"lab/{name}:1",
                    {f"/{name}": self.programs / name},
                    [f"/{name}"],
                )
                self.load(archive)
                archive.unlink()
                self.ctr("images", "tag", "--force", f"docker.io/lab/{name}:1", mark)

    def _start_control_plane(self) -> None:
        kubelite, pki = self.programs / "kubelite", self.home / "pki"
        self.processes.start(
            "etcd", kubelite, "etcd", f"--data-dir={self.home}/etcd", "--unsafe-no-fsync", "--log-level=warn",
            "--listen-client-urls=http://127.0.0.1:2379", "--advertise-client-urls=http://127.0.0.1:2379",
            "--listen-peer-urls=http://127.0.0.1:2380",
        )  # fmt: skip
        self.processes.start(
            "apiserver", kubelite, "kube-apiserver", "--etcd-servers=http://127.0.0.1:2379",
            f"--advertise-address={self.address}", f"--secure-port={API_PORT}",
            f"--service-cluster-ip-range={SERVICES}", "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction", "--allow-privileged=true",
            f"--client-ca-file={pki}/ca.crt", f"--tls-cert-file={pki}/apiserver.crt",
            f"--tls-private-key-file={pki}/apiserver.key", f"--kubelet-client-certificate={pki}/admin.crt",
            f"--kubelet-client-key={pki}/admin.key", "--kubelet-preferred-address-types=InternalIP",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-signing-key-file={pki}/sa.key", f"--service-account-key-file={pki}/sa.key",
            f"--requestheader-client-ca-file={pki}/ca.crt", "--requestheader-allowed-names=front-proxy",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            "--requestheader-group-headers=X-Remote-Group", "--requestheader-username-headers=X-Remote-User",
            f"--proxy-client-cert-file={pki}/front-proxy.crt",
            f"--proxy-client-key-file={pki}/front-proxy.key",
        )  # fmt: skip
        self._wait(self._is_answering, "the API server")
        self.processes.start(
            "controllers", kubelite, "kube-controller-manager", f"--kubeconfig={self.kubeconfig}",
            "--leader-elect=false", "--bind-address=127.0.0.1", f"--cluster-cidr={PODS}",
            "--allocate-node-cidrs=true", f"--service-account-private-key-file={pki}/sa.key",
            f"--root-ca-file={pki}/ca.crt", f"--cluster-signing-cert-file={pki}/ca.crt",
            f"--cluster-signing-key-file={pki}/ca.key", "--use-service-account-credentials=true",
        )  # fmt: skip
        self.processes.start(
            "scheduler", kubelite, "kube-scheduler", f"--kubeconfig={self.kubeconfig}",
            "--leader-elect=false", "--bind-address=127.0.0.1",
        )  # fmt: skip
        self.processes.start(
            "hostpath", self.programs / "hostpath", f"--kubeconfig={self.kubeconfig}",
            f"--root={self.home}/volumes",
        )  # fmt: skip

    def _is_answering(self) -> bool:
        return self.kubectl("get", "--raw=/readyz", check=False) == "ok"

    def _start_node_programs(self) -> None:
        kubelite = self.programs / "kubelite"
        self.processes.start(
            "kubelet", kubelite, "kubelet", f"--config={self.home}/kubelet.yaml",
            f"--root-dir={self.home}/kubelet", f"--kubeconfig={self.home}/kubelet.kubeconfig",
            f"--hostname-override={self.name}", f"--node-ip={self.address}",
        )  # fmt: skip
        self.processes.start(
            "proxy", kubelite, "kube-proxy", f"--kubeconfig={self.kubeconfig}", "--proxy-mode=iptables",
            f"--cluster-cidr={PODS}", f"--hostname-override={self.name}", "--conntrack-max-per-core=0",
            "--conntrack-tcp-timeout-established=0", "--conntrack-tcp-timeout-close-wait=0",
            "--healthz-bind-address=127.0.0.1:10256", "--metrics-bind-address=127.0.0.1:10249",
        )  # fmt: skip
        if exporter := shutil.which("prometheus-node-exporter"):
            # The role `base` installs it on each machine.
            self.processes.start(
                "node-exporter", exporter, f"--web.listen-address={self.address}:9100",
                f"--collector.textfile.directory={self.home}/textfiles",
            )  # fmt: skip

    def _start_registry(self) -> None:
        store = CACHE / "registry"
        store.mkdir(parents=True, exist_ok=True)
        config = self.home / "registry.yaml"
        config.write_text(
            "version: 0.1\n"
            f"storage: {{filesystem: {{rootdirectory: {store}}}, delete: {{enabled: true}}}}\n"
            f"http: {{addr: '0.0.0.0:{REGISTRY_PORT}'}}\n"
        )
        self.processes.start("registry", "docker-registry", "serve", config)

    def _delete_containers(self) -> None:
        if not self.processes.pid("containerd"):
            return
        for task in self.ctr("tasks", "ls", "-q", check=False).split():
            self.ctr("tasks", "kill", "--signal=SIGKILL", task, check=False)
        for container in self.ctr("containers", "ls", "-q", check=False).split():
            self.ctr("tasks", "delete", "--force", container, check=False)
            self.ctr("containers", "delete", container, check=False)

    def _wait(self, condition, what: str) -> None:
        wait_for(condition, f"{self.name}: {what} (see {self.home}/log)", 180, every=0.3)


def _mounts(folder: Path) -> list[str]:
    """Return what is mounted below a folder, the innermost first."""
    places = []
    with contextlib.suppress(OSError):
        places = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    return [place for place in reversed(places) if place.startswith(f"{folder}/")]
