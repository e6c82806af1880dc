#!/usr/bin/python3
"""Stands in for MicroK8s: builds with the real kustomize, keeps what was applied, and notes each call.

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


class RefusedError(Exception):
    """What the real program would refuse too."""


def node_ip() -> str:
    """The pinned address; without one the first that is found, which is the NAT's on a virtual machine."""
    for line in (SNAP / "args" / "kubelet").read_text().splitlines():
        if line.startswith("--node-ip="):
            return line.partition("=")[2]
    return "10.0.2.15"


def resource(item: dict) -> str:
    kind = item["kind"].lower()
    group = item["apiVersion"].rpartition("/")[0]
    return f"{kind}.{group}/{item['metadata']['name']}" if group else f"{kind}/{item['metadata']['name']}"


def apply(state: dict, folder: str) -> None:
    text = subprocess.run(["kustomize-build", folder], check=True, stdout=subprocess.PIPE, text=True).stdout
    items = [item for item in yaml.load_all(text, Loader=yaml.CSafeLoader) if item]
    for item in items:
        digest = hashlib.sha256(json.dumps(item, sort_keys=True).encode()).hexdigest()
        name = resource(item)
        before = state["objects"].get(name)
        if before and before["hash"] != digest and item["kind"] == "Job":
            raise RefusedError(f"The Job {name} is invalid: spec.template: field is immutable")
        print(
            name,
            "unchanged" if before and before["hash"] == digest else "configured" if before else "created",
        )
        labels = item["metadata"].get("labels", {})
        state["objects"][name] = {"hash": digest, "labels": labels}
        if item["kind"] == "Secret":
            state["objects"][name]["keys"] = sorted(item.get("data", {}) | item.get("stringData", {}))
    (HOME / "applied.yaml").write_text(text)
    (HOME / "applied.yaml").chmod(0o600)
    subprocess.run(["systemctl", "stop", "stand-in-pages"], check=False, stderr=subprocess.DEVNULL)
    subprocess.run(
        [
            "systemd-run",
            "--quiet",
            "--collect",
            "--unit=stand-in-pages",
            "/usr/bin/python3",
            "/usr/local/lib/pages.py",
        ],
        check=True,
    )


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


def kubectl(state: dict, words: list[str]) -> None:
    if words[:1] == ["-n"]:
        words = words[2:]
    if words[0] == "kustomize":
        subprocess.run(["kustomize-build", *words[1:]], check=True)
    elif words[:2] == ["apply", "-k"]:
        apply(state, words[2])
    elif words[:2] == ["apply", "-f"]:
        state["calico"] = "kubernetes-internal-ip" in Path(words[2]).read_text()
    elif words[:2] == ["get", "nodes"]:
        print(node_ip(), *state["workers"].values(), sep="\n")
    elif words[:2] == ["get", "cronjobs"]:
        print(
            "\n".join(
                name.partition("/")[2] for name in selected(state, words[1], words[words.index("-l") + 1])
            )
        )
    elif words[0] == "get":
        print("\n".join(selected(state, words[1], words[words.index("-l") + 1])))
    elif words[:3] == ["delete", "job", "-l"]:
        for name in selected(state, "jobs", words[3]):
            del state["objects"][name]
            print(f"{name.replace('/', ' ')} deleted")
    elif words[0] == "delete":
        for name in words[1:]:
            del state["objects"][name]
            print(f"{name} deleted")
    elif words[:2] == ["create", "job"]:
        name = next(word for word in words if word.startswith("--from=")).partition("/")[2]
        items = yaml.load_all((HOME / "applied.yaml").read_text(), Loader=yaml.CSafeLoader)
        source = next(i for i in items if i and i["kind"] == "CronJob" and i["metadata"]["name"] == name)
        job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": words[2]}}
        print(json.dumps(job | {"spec": source["spec"]["jobTemplate"]["spec"]}))
    elif words == ["create", "-f", "-"]:
        (HOME / "created.json").write_text(sys.stdin.read())
    elif words[0] in {"wait", "rollout", "drain", "uncordon", "exec", "logs"}:
        pass
    else:
        raise RefusedError(f"stand-in kubectl cannot {words}")


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
        elif words[0] == "kubectl":
            kubectl(state, words[1:])
        elif words[0] == "add-node":
            print(json.dumps({"token": "0123456789abcdef0123456789abcdef", "urls": []}))
        elif words[0] == "join" and words[-1] == "--worker":
            (SNAP / "var/lock").mkdir(parents=True, exist_ok=True)
            (SNAP / "var/lock/clustered.lock").touch()
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
