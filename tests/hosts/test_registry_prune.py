"""Unused images are removed from a real registry, and the others can still be pulled."""

import hashlib
import json
import shutil
import socket
import subprocess
import time

import pytest
from ansible.module_utils.urls import open_url

from hosts.test_secrets_made import plugin

registry_prune = plugin("image_build/library/registry_prune.py")
TYPE = "application/vnd.oci.image.manifest.v1+json"


@pytest.fixture
def address(tmp_path):
    """Return the address of a separate registry on loopback."""
    assert shutil.which("docker-registry"), "docker-registry is missing: .ci/system-parts installs it"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(tmp_path / "data")}, "delete": {"enabled": True}},
        "http": {"addr": f"127.0.0.1:{port}"},
    }
    (tmp_path / "config.yml").write_text(json.dumps(settings))
    process = subprocess.Popen(
        ["docker-registry", "serve", str(tmp_path / "config.yml")], stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


def send(method, url, body, content_type="application/octet-stream"):
    headers = {"Content-Type": content_type}
    return open_url(url, body, headers, method, timeout=30)


def push(address, repository, tag, content):
    """Push an image of one file, as Docker does: its blobs, then the manifest under the tag."""

    def blob(data):
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        with send("POST", f"{address}/v2/{repository}/blobs/uploads/", b"") as upload:
            place = upload.headers["Location"]
        send("PUT", f"{place}&digest={digest}", data).close()
        return {"digest": digest, "size": len(data), "mediaType": "application/octet-stream"}

    manifest = {"schemaVersion": 2, "mediaType": TYPE, "config": blob(b"{}"), "layers": [blob(content)]}
    send("PUT", f"{address}/v2/{repository}/manifests/{tag}", json.dumps(manifest).encode(), TYPE).close()


def images(address):
    registry = registry_prune.Registry(address)
    return {f"{name}:{tag}" for name in registry.repositories() for tag in registry.tags(name)}


def test_only_the_kept_tags_stay(address):
    for tag, content in (("old", b"1"), ("running", b"2"), ("new", b"3")):
        push(address, "readmission/api", tag, content)
        push(address, "somebody/else", tag, content)
    # The release did not change this image: both tags point at one content.
    push(address, "readmission/feed", "old", b"same")
    push(address, "readmission/feed", "running", b"same")
    registry, keep = registry_prune.Registry(address), {"running", "new"}

    assert registry_prune.prune(registry, "readmission/", keep, dry=True) == ["readmission/api:old"]
    assert "readmission/api:old" in images(address)
    before = images(address)
    assert registry_prune.prune(registry, "readmission/", keep, dry=False) == ["readmission/api:old"]
    assert before - images(address) == {"readmission/api:old"}
    assert registry_prune.prune(registry, "readmission/", keep, dry=False) == []


def test_a_repository_without_tags_is_no_error(address):
    push(address, "readmission/api", "old", b"1")
    registry = registry_prune.Registry(address)
    assert registry_prune.prune(registry, "readmission/", set(), dry=False) == ["readmission/api:old"]
    assert registry_prune.prune(registry, "readmission/", set(), dry=False) == []
