#!/usr/bin/python3
"""Stand-in for snapd: knows one snap, its channel and whether it is held, and records each call."""

import json
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path

HOME = Path("/var/lib/stand-in")
STATE = HOME / "snap.json"
SNAP = Path("/var/snap/microk8s")
CERTIFICATES = SNAP / "current" / "certs"
ARGS = SNAP / "current" / "args"
NAT_IP = "10.0.2.15"
RESTARTS = [["restart", f"microk8s.daemon-{name}"] for name in ("kubelite", "k8s-dqlite", "apiserver-proxy")]
CNI = """\
            # Auto-detect the BGP IP address.
            - name: IP
              value: "autodetect"
            - name: IP_AUTODETECTION_METHOD
              value: "first-found"
            - name: CALICO_NETWORKING_BACKEND
"""


def files_of_the_snap() -> dict[Path, str]:
    """Install the files of the real snap that the play uses."""
    return {
        ARGS
        / "kubelet": "--kubeconfig=${SNAP_DATA}/credentials/kubelet.config\n--cluster-dns=10.152.183.10\n",
        ARGS / "kube-apiserver": "--cert-dir=${SNAP_DATA}/certs\n--secure-port=16443\n",
        ARGS / "cni-network" / "cni.yaml": CNI,
        ARGS / "certs.d" / "localhost:32000" / "hosts.toml": 'server = "http://localhost:32000"\n',
    }


def openssl(*words: str) -> None:
    subprocess.run(["openssl", *words], cwd=CERTIFICATES, check=True, capture_output=True)


def issue(name: str, subject: str, authority: str, days: int, addresses: list[str]) -> None:
    """Issue NAME.crt as MicroK8s does, for the addresses that the host has now."""
    names = ",".join(["DNS:kubernetes", *(f"IP:{address}" for address in addresses)])
    if not (CERTIFICATES / f"{name}.key").exists():
        openssl("genrsa", "-out", f"{name}.key", "2048")
    key, request = f"{name}.key", f"{name}.csr"
    openssl(
        *("req", "-new", "-key", key, "-subj", subject, "-addext", f"subjectAltName={names}"), "-out", request
    )
    signed = ("-CA", f"{authority}.crt", "-CAkey", f"{authority}.key", "-CAcreateserial")
    openssl(
        *("x509", "-req", "-in", request, "-days", str(days), "-copy_extensions", "copy", *signed),
        *("-out", f"{name}.crt"),
    )


def install_certificates() -> None:
    """Create the certificates of a fresh MicroK8s; the one-year ones expire in 30 days."""
    CERTIFICATES.mkdir()
    for name in ("ca", "front-proxy-ca"):
        made = ("-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.crt")
        openssl("req", "-x509", "-days", "3650", "-subj", f"/CN={name}", *made)
    # A virtual machine's private network may come up after its NAT.
    issue("server", "/CN=127.0.0.1", "ca", 30, ["127.0.0.1", NAT_IP])
    issue("front-proxy-client", "/CN=front-proxy-client", "front-proxy-ca", 30, ["127.0.0.1"])
    issue("kubelet", f"/CN=system:node:{platform.node()}/O=system:nodes", "ca", 3650, [NAT_IP])


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
        install_certificates()
        STATE.write_text(json.dumps({"channel": channel, "held": False}))
    elif command == ["refresh", "--hold", "microk8s"] and state:
        STATE.write_text(json.dumps(state | {"held": True}))
    elif command[:2] == ["refresh", "microk8s"] and state and channel:
        STATE.write_text(json.dumps(state | {"channel": channel}))
    elif command == ["wait", "system", "seed.loaded"] or (command in RESTARTS and state):
        pass
    elif command == ["remove", "--purge", "microk8s"] and state:
        for unit in ("stand-in-pages", "stand-in-registry"):
            subprocess.run(["systemctl", "stop", unit], check=False, stderr=subprocess.DEVNULL)
        shutil.rmtree(SNAP)
        STATE.unlink()
        (HOME / "microk8s.json").unlink(missing_ok=True)
    else:
        print(f"error: stand-in snap cannot {command} in state {state}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
