#!/usr/bin/python3
"""Stand-in for MicroK8s: builds with the real kustomize, stores applied objects, and records each call.

Objects are kept by kind and name with a hash, so that "created", "configured" and "unchanged" are true. The
node ports of the applied Services are opened with the applied certificate (pages.py).
"""

import hashlib
import json
import subprocess
import sys
import time
from pathlib import Path

import yaml

HOME = Path("/var/lib/stand-in")
STATE = HOME / "microk8s.json"
SNAP = Path("/var/snap/microk8s/current")


PROVIDER = """\
tcp:
  services:
    kube-apiserver:
      loadBalancer:
        servers:
        - address: {endpoint}
"""


class RefusedError(Exception):
    """A call that the real program would refuse too."""


def node_ip() -> str:
    """Return the pinned address, or the first one, which is the NAT's on a virtual machine."""
    for line in (SNAP / "args" / "kubelet").read_text().splitlines():
        if line.startswith("--node-ip="):
            return line.partition("=")[2]
    return "10.0.2.15"


def resource(item: dict) -> str:
    kind = item["kind"].lower()
    group = item["apiVersion"].rpartition("/")[0]
    return f"{kind}.{group}/{item['metadata']['name']}" if group else f"{kind}/{item['metadata']['name']}"


def differ(state: dict, path: str, selector: str) -> bool:
    """Return whether a selected object of the file differs from the applied one."""
    items = [item for item in yaml.load_all(Path(path).read_text(), Loader=yaml.CSafeLoader) if item]
    key, value = selector.split("!=")
    return any(
        state["objects"].get(resource(item), {}).get("hash") != digest(item)
        for item in items
        if item["metadata"].get("labels", {}).get(key) != value
    )


def digest(item: dict) -> str:
    return hashlib.sha256(json.dumps(item, sort_keys=True).encode()).hexdigest()


def apply(state: dict, path: str) -> None:
    text = Path(path).read_text()
    items = [item for item in yaml.load_all(text, Loader=yaml.CSafeLoader) if item]
    for item in items:
        now = digest(item)
        name = resource(item)
        before = state["objects"].get(name)
        if before and before["hash"] != now and item["kind"] == "Job":
            raise RefusedError(f"The Job {name} is invalid: spec.template: field is immutable")
        print(
            name,
            "unchanged" if before and before["hash"] == now else "configured" if before else "created",
        )
        labels = item["metadata"].get("labels", {})
        state["objects"][name] = {"hash": now, "labels": labels}
        if item["kind"] == "Secret":
            state["objects"][name]["keys"] = sorted(item.get("data", {}) | item.get("stringData", {}))
    (HOME / "applied.yaml").write_text(text)
    (HOME / "applied.yaml").chmod(0o600)
    # A unit that was stopped may still be known for a moment, and systemd-run would refuse its name.
    if subprocess.run(["systemctl", "is-active", "--quiet", "stand-in-pages"], check=False).returncode == 0:
        subprocess.run(["systemctl", "restart", "stand-in-pages"], check=True)
    else:
        run_as_unit("stand-in-pages", "/usr/bin/python3", "/usr/local/lib/pages.py")


def run_as_unit(name: str, *command: str) -> None:
    subprocess.run(["systemd-run", "--quiet", "--collect", f"--unit={name}", *command], check=True)


def selected(state: dict, kinds: str, selector: str) -> list[str]:
    wanted = {kind.rstrip("s") for kind in kinds.split(",")}
    found = []
    for name, item in state["objects"].items():
        if name.partition("/")[0].partition(".")[0] not in wanted:
            continue
        key, _, value = selector.replace("!=", "=").partition("=")
        if (item["labels"].get(key) == value) != ("!=" in selector):
            found.append(name)
    return found


def seconds(value: str, within: str = "") -> None:
    """Refuse anything except a duration in seconds; `within` separates a flag from its value."""
    duration = value.partition(within)[2] if within else value
    if not (duration.endswith("s") and duration[:-1].isdigit()):
        raise RefusedError(f"invalid argument {value}: time: invalid duration")


def refresh(name: str) -> None:
    """Issue a certificate of the control plane again, for a year and the host's addresses."""
    own = subprocess.run(["hostname", "-I"], check=True, stdout=subprocess.PIPE, text=True).stdout.split()
    authority = "ca" if name == "server" else "front-proxy-ca"
    names = ",".join(["DNS:kubernetes", *(f"IP:{address}" for address in ["127.0.0.1", *own])])
    request = [
        "req",
        "-new",
        "-key",
        f"{name}.key",
        "-subj",
        f"/CN={name}",
        "-addext",
        f"subjectAltName={names}",
    ]
    sign = ["x509", "-req", "-days", "365", "-copy_extensions", "copy", "-CAcreateserial"]
    sign += ["-CA", f"{authority}.crt", "-CAkey", f"{authority}.key"]
    for command in (
        [*request, "-out", f"{name}.csr"],
        [*sign, "-in", f"{name}.csr", "-out", f"{name}.crt"],
    ):
        subprocess.run(["openssl", *command], cwd=SNAP / "certs", check=True, capture_output=True)


def wait(words: list[str]) -> None:
    """Accept commands that wait for pods and nodes, which this cluster does not have; refuse all others."""
    match words:
        case [
            "rollout",
            "status",
            "deployments,statefulsets",
            "-l",
            "readmission/needs-model!=true",
            timeout,
        ]:
            seconds(timeout, "=")
        case ["wait", "--for=condition=Ready", node, "--timeout", timeout] if node.startswith("node/"):
            seconds(timeout)
        case ["drain", _, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout", timeout]:
            seconds(timeout)
        case ["uncordon", _]:
            pass
        case [
            "exec",
            "deployment/registry",
            "--",
            "registry",
            "garbage-collect",
            "--delete-untagged",
            config,
        ]:
            if config != "/etc/docker/registry/config.yml":
                raise RefusedError(f"{config}: no such file or directory")
        case ["exec", "deployment/airflow-scheduler", "--", "python", "-m", "readmission_data", "rollback"]:
            pass
        case _:
            raise RefusedError(f"stand-in kubectl cannot {words}")


def kubectl(state: dict, words: list[str]) -> int:
    """Run exactly these commands; refuse all others."""
    if words[:1] == ["-n"]:
        words = words[2:]
    match words:
        case ["kustomize", folder, "--output", path]:
            built = subprocess.run(["kustomize-build", folder], check=True, stdout=subprocess.PIPE).stdout
            Path(path).write_bytes(built)
        case ["get", "namespace", name, "--ignore-not-found", "--output", "name"]:
            print(*(n for n in state["objects"] if n == f"namespace/{name}"))
        case ["apply", "--dry-run=server", "-f", _, "-l", _]:
            pass
        case ["diff", "-f", path, "-l", selector]:
            return int(differ(state, path, selector))
        case ["apply", "-f", path] if "cni" in path:
            state["calico"] = "kubernetes-internal-ip" in Path(path).read_text()
        case ["apply", "-f", path]:
            apply(state, path)
        case ["get", "nodes", "--output", "json"]:
            addresses = [node_ip(), *state["workers"].values()]
            nodes = [{"status": {"addresses": [{"type": "InternalIP", "address": ip}]}} for ip in addresses]
            print(json.dumps({"items": nodes}))
        case [
            "get",
            ("cronjobs" | "secrets,configmaps") as kinds,
            "-l",
            selector,
            ("--output" | "-o"),
            "name",
        ]:
            print(*selected(state, kinds, selector), sep="\n")
        case ["get", "jobs", selector, output] if output.startswith("--output=jsonpath="):
            for name in selected(state, "jobs", selector.partition("=")[2]):
                print(name.partition("/")[2], "SuccessCriteriaMet Complete")
        case ["get", job, output] if job.startswith("job/") and output.startswith("--output=jsonpath="):
            print("SuccessCriteriaMet Complete", end="")
        case ["delete", "job", "-l", selector, "--ignore-not-found"]:
            for name in selected(state, "jobs", selector):
                del state["objects"][name]
                print(f"{name.replace('/', ' ')} deleted")
        case ["delete", *names] if all("/" in name for name in names):
            for name in names:
                del state["objects"][name]
                print(f"{name} deleted")
        case ["create", "job", job, source, "--dry-run=client", "-o", "json"]:
            name = source.removeprefix("--from=cronjob/")
            items = yaml.load_all((HOME / "applied.yaml").read_text(), Loader=yaml.CSafeLoader)
            schedule = next(
                i for i in items if i and i["kind"] == "CronJob" and i["metadata"]["name"] == name
            )
            made = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": job}}
            print(json.dumps(made | {"spec": schedule["spec"]["jobTemplate"]["spec"]}))
        case ["create", "-f", "-"]:
            (HOME / "created.json").write_text(sys.stdin.read())
        case _:
            wait(words)
    return 0


def main() -> int:
    """Do what the arguments say."""
    words = sys.argv[1:]
    with (HOME / "calls").open("a") as calls:
        calls.write(" ".join([str(time.monotonic_ns()), "microk8s", *words]) + "\n")
    if not (HOME / "snap.json").exists():
        print("microk8s: command not found", file=sys.stderr)
        return 127
    state = {"addons": ["ha-cluster"], "objects": {}, "workers": {}}
    if STATE.exists():
        state = json.loads(STATE.read_text())
    try:
        if words[0] == "status":
            every = ["dns", "ha-cluster", "hostpath-storage", "metrics-server", "rbac", "registry"]
            status = [{"name": n, "status": "enabled" if n in state["addons"] else "disabled"} for n in every]
            print(yaml.safe_dump({"microk8s": {"running": True}, "addons": status}))
        elif words[0] == "enable":
            state["addons"].append(words[1])
            if words[1] == "registry":
                run_as_unit("stand-in-registry", "docker-registry", "serve", "/usr/local/lib/registry.yml")
        elif words[:2] == ["refresh-certs", "--cert"] and words[2:] in (
            ["server.crt"],
            ["front-proxy-client.crt"],
        ):
            refresh(words[2].removesuffix(".crt"))
        elif words[0] == "kubectl":
            return kubectl(state, words[1:])
        elif words[0] == "add-node":
            print(json.dumps({"token": "0123456789abcdef0123456789abcdef", "urls": []}))
        elif words[0] == "join" and words[-1] == "--worker":
            (SNAP / "var/lock").mkdir(parents=True, exist_ok=True)
            (SNAP / "var/lock/clustered.lock").touch()
            (SNAP / "args/traefik").mkdir(exist_ok=True)
            endpoint = words[1].partition("/")[0].replace("25000", "16443")
            (SNAP / "args/traefik/provider.yaml").write_text(PROVIDER.format(endpoint=endpoint))
        else:
            raise RefusedError(f"stand-in microk8s cannot {words}")  # noqa: TRY301 (one way out)
    except (RefusedError, subprocess.CalledProcessError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    finally:
        STATE.write_text(json.dumps(state))
    return 0


if __name__ == "__main__":
    sys.exit(main())
