"""Certificates and kubeconfigs of a node, as a Kubernetes installer makes them."""

import json
import shutil
from pathlib import Path

from cluster.support.commands import run
from cluster.support.layout import API_PORT, FIRST_SERVICE

DAYS = 30


class Credentials:
    """The keys in a node's folder. A worker's are signed by its cluster's authority."""

    def __init__(self, home: Path, authority: Path) -> None:
        self.home = home
        self.folder = home / "pki"
        self.authority = authority

    def create_cluster(self, node: str, address: str) -> None:
        """Make a cluster's authority, and the keys of its API server, administrator and first node."""
        self.folder.mkdir(parents=True, exist_ok=True)
        ca = self.folder / "ca"
        self._key("ca")
        run(
            "openssl", "req", "-x509", "-new", "-key", f"{ca}.key", "-subj", "/CN=lab", "-days", DAYS,
            "-out", f"{ca}.crt",
        )  # fmt: skip
        self._key("sa")
        names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc"]
        alternatives = [f"DNS:{name}" for name in names]
        alternatives += [f"IP:{one}" for one in (FIRST_SERVICE, address, "127.0.0.1")]
        self._certificate("apiserver", "/CN=kube-apiserver", ",".join(alternatives))
        self._certificate("front-proxy", "/CN=front-proxy")
        self._certificate("admin", "/O=system:masters/CN=admin")
        self._kubeconfig("admin", address)
        self._node(node, address)

    def create_worker(self, node: str, primary_address: str, admin: Path) -> None:
        """Make the keys of a node that joins a cluster."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._node(node, primary_address)
        shutil.copy(admin, self.home / "admin.kubeconfig")

    def _node(self, node: str, server: str) -> None:
        self._certificate("kubelet", f"/O=system:nodes/CN=system:node:{node}")
        self._kubeconfig("kubelet", server)

    def _key(self, name: str) -> None:
        key = self.folder / f"{name}.key"
        run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key)

    def _certificate(self, name: str, subject: str, alternatives: str = "") -> None:
        self._key(name)
        path = self.folder / name
        run("openssl", "req", "-new", "-key", f"{path}.key", "-subj", subject, "-out", f"{path}.csr")
        extensions = self.folder / "extensions"
        extensions.write_text(
            f"subjectAltName={alternatives}\n" if alternatives else "basicConstraints=CA:FALSE\n"
        )
        run(
            "openssl", "x509", "-req", "-in", f"{path}.csr", "-CA", self.authority / "ca.crt",
            "-CAkey", self.authority / "ca.key", "-CAcreateserial", "-days", DAYS,
            "-extfile", extensions, "-out", f"{path}.crt",
        )  # fmt: skip

    def _kubeconfig(self, user: str, server: str) -> None:
        cluster = {
            "server": f"https://{server}:{API_PORT}",
            "certificate-authority": f"{self.authority}/ca.crt",
        }
        keys = {
            "client-certificate": f"{self.folder}/{user}.crt",
            "client-key": f"{self.folder}/{user}.key",
        }
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "lab",
            "clusters": [{"name": "lab", "cluster": cluster}],
            "users": [{"name": user, "user": keys}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": user}}],
        }
        (self.home / f"{user}.kubeconfig").write_text(json.dumps(config))
