"""The Go programs of the lab, built once per content: Kubernetes itself, and what is pulled elsewhere.

Kubernetes, etcd and kubectl are one binary, as in MicroK8s. Where no registry of images is needed,
Prometheus, Alertmanager and the exporters are built from their Go modules in the versions of the manifests.
"""

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path

from cluster.support.commands import LabError, run
from cluster.support.layout import CACHE
from images.support import go

SOURCES = Path(__file__).with_name("go")
KUBERNETES = os.environ.get("READMISSION_LAB_KUBERNETES", "v1.35.4")
KUBE_ROUTER = "github.com/cloudnativelabs/kube-router/v2/cmd/kube-router"
OWN = ("kubelite", "dns", "pause", "probe", "hostpath", "kube-router")
METRICS_SERVER = ("sigs.k8s.io/metrics-server", "v0.8.0", "./cmd/metrics-server")
FOLDER = CACHE / "programs"


def build() -> Path:
    """Return the folder with the lab's own programs; built first if their sources changed."""
    target = FOLDER / _key()
    if not all((target / name).exists() for name in (*OWN, "metrics-server")):
        with tempfile.TemporaryDirectory(prefix="lab-programs-") as folder:
            _build_own(Path(folder))
            shutil.copy(module(*METRICS_SERVER), Path(folder) / "metrics-server")
            target.mkdir(parents=True, exist_ok=True)
            for path in Path(folder).iterdir():
                # Replaced in one step: another run may use it.
                part = target / f".{path.name}-{os.getpid()}"
                shutil.copy(path, part)
                part.replace(target / path.name)
    return target


def module(name: str, version: str, package: str) -> Path:
    """Return a program built from a copy of its own Go module; its web pages are not in the module."""
    target = FOLDER / f"{name.replace('/', '+')}@{version}" / Path(name if package == "." else package).name
    if target.exists():
        return target
    with tempfile.TemporaryDirectory(prefix="lab-module-") as folder:
        source = Path(folder) / "source"
        env = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=mod", "GOWORK": "off"}
        told = json.loads(run(_go(), "mod", "download", "-json", f"{name}@{version}", cwd=folder, env=env))
        shutil.copytree(told["Dir"], source, copy_function=shutil.copyfile)
        run("chmod", "--recursive", "u+w", source)
        pages = source / "ui" / "app" / "dist"
        pages.mkdir(parents=True, exist_ok=True)
        (pages / "index.html").write_text("no pages here\n")
        part = Path(folder) / "program"
        run(
            _go(), "build", "-trimpath", "-ldflags", "-s -w", "-tags", "remove_all_sd,enable_dns_sd",
            "-o", part, package, cwd=source, env=env,
        )  # fmt: skip
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(part, target.with_suffix(f".{os.getpid()}"))
        target.with_suffix(f".{os.getpid()}").replace(target)
    return target


def _build_own(target: Path) -> None:
    major, minor, _ = KUBERNETES.removeprefix("v").split(".")
    package = "k8s.io/component-base/version"
    values = {"gitVersion": KUBERNETES, "gitMajor": major, "gitMinor": minor}
    version = " ".join(f"-X {package}.{name}={value}" for name, value in values.items())
    env = {**os.environ, "CGO_ENABLED": "0"}
    small = [f"./cmd/{name}" for name in OWN if name not in {"kubelite", "kube-router"}]
    for flags, packages in ((version, ["./cmd/kubelite"]), ("", [*small, KUBE_ROUTER])):
        run(
            _go(), "build", "-trimpath", "-ldflags", f"-s -w {flags}".strip(), "-o", f"{target}/", *packages,
            cwd=SOURCES, env=env,
        )  # fmt: skip


def _key() -> str:
    digest = hashlib.sha256(f"{KUBERNETES} {METRICS_SERVER} {run(_go(), 'version')}".encode())
    for path in sorted(SOURCES.rglob("*")):
        if path.is_file():
            digest.update(f"{path.relative_to(SOURCES)}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _go() -> str:
    found = go.program()
    if found is None:
        raise LabError("Go 1.25 or newer is missing")
    return str(found)
