#!/usr/bin/python3
"""Stands in for snapd: knows one snap, its channel and whether it is held, and notes each call."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

HOME = Path("/var/lib/stand-in")
STATE = HOME / "snap.json"
SNAP = Path("/var/snap/microk8s")
ARGS = SNAP / "current" / "args"
CNI = """\
            # Auto-detect the BGP IP address.
            - name: IP
              value: "autodetect"
            - name: IP_AUTODETECTION_METHOD
              value: "first-found"
            - name: CALICO_NETWORKING_BACKEND
"""


def files_of_the_snap() -> dict[Path, str]:
    """What the real snap brings, as far as the play touches it."""
    return {
        ARGS
        / "kubelet": "--kubeconfig=${SNAP_DATA}/credentials/kubelet.config\n--cluster-dns=10.152.183.10\n",
        ARGS / "kube-apiserver": "--cert-dir=${SNAP_DATA}/certs\n--secure-port=16443\n",
        ARGS / "cni-network" / "cni.yaml": CNI,
        ARGS / "certs.d" / "localhost:32000" / "hosts.toml": 'server = "http://localhost:32000"\n',
    }


def main() -> int:
    """Do what the arguments say."""
    HOME.mkdir(exist_ok=True)
    command = sys.argv[1:]
    with (HOME / "calls").open("a") as calls:
        calls.write(" ".join([str(time.monotonic_ns()), "snap", *command]) + "\n")
    state = json.loads(STATE.read_text()) if STATE.exists() else None
    channel = next((word.partition("=")[2] for word in command if word.startswith("--channel=")), None)
    if command == ["list", "microk8s"]:
        if state is None:
            print("error: no matching snaps installed", file=sys.stderr)
            return 1
        notes = "classic,held" if state["held"] else "classic"
        print("Name      Version  Rev   Tracking  Publisher  Notes")
        print(f"microk8s  v1.35.2  8511  {state['channel']}  canonical**  {notes}")
    elif command[:2] == ["install", "microk8s"] and "--classic" in command and state is None:
        for path, text in files_of_the_snap().items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        STATE.write_text(json.dumps({"channel": channel, "held": False}))
    elif command == ["refresh", "--hold", "microk8s"] and state:
        STATE.write_text(json.dumps(state | {"held": True}))
    elif command[:2] == ["refresh", "microk8s"] and state and channel:
        STATE.write_text(json.dumps(state | {"channel": channel}))
    elif command == ["restart", "microk8s.daemon-kubelite"] and state:
        pass
    elif command == ["remove", "--purge", "microk8s"] and state:
        subprocess.run(["systemctl", "stop", "stand-in-pages"], check=False, stderr=subprocess.DEVNULL)
        shutil.rmtree(SNAP)
        STATE.unlink()
        (HOME / "microk8s.json").unlink(missing_ok=True)
    else:
        print(f"error: stand-in snap cannot {command} in state {state}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
