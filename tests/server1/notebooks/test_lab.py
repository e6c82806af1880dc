"""JupyterLab as users open it: the password, the pairs, and no patient data on disk."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from jupyter_server.auth import passwd

from server1.notebooks.conftest import NAMES
from server1.notebooks.support.running import FOLDER

PASSWORD = "open sesame"
START_SECONDS = 120


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A running JupyterLab on a copy of the folder: its address and that copy."""
    home = tmp_path_factory.mktemp("home")
    folder = home / "notebooks"
    shutil.copytree(FOLDER, folder, ignore=shutil.ignore_patterns(".ipynb_checkpoints", "__pycache__"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {
        "HOME": str(home),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_PASSWORD_HASH": passwd(PASSWORD),
    }
    command = [
        *(Path(sys.executable).parent / "jupyter-lab", f"--config={folder / 'jupyter_server_config.py'}"),
        *("--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0", "--no-browser"),
        *(f"--notebook-dir={folder}", *(["--allow-root"] if os.geteuid() == 0 else [])),
    ]
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            command, env={**os.environ, **settings}, stdout=log, stderr=log, cwd=folder
        )
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                httpx.get(f"{url}/api", timeout=5).raise_for_status()
                break
            except httpx.TransportError:
                assert process.poll() is None, (home / "log").read_text()
                assert time.monotonic() < deadline, (home / "log").read_text()
                time.sleep(0.2)
        yield url, folder
    finally:
        process.terminate()
        process.wait(timeout=30)


@contextmanager
def sign_in(url, password):
    with httpx.Client(base_url=url, timeout=60) as client:
        token = re.search(r'name="_xsrf" value="([^"]+)"', client.get("/login").text).group(1)
        client.post("/login", data={"password": password, "_xsrf": token})
        client.headers["X-XSRFToken"] = token
        yield client


def test_nobody_comes_in_without_the_password(lab):
    url, _ = lab
    assert "version" in httpx.get(f"{url}/api", timeout=30).json()
    assert httpx.get(f"{url}/api/contents", timeout=30).status_code == 403
    assert httpx.get(f"{url}/lab", timeout=30).status_code == 302
    with sign_in(url, "guessed") as client:
        assert client.get("/api/contents").status_code == 403


def test_who_signed_in_finds_the_notebooks_and_the_kernel(lab):
    with sign_in(lab[0], PASSWORD) as client:
        assert client.get("/lab").status_code == 200
        found = {entry["name"] for entry in client.get("/api/contents").json()["content"]}
        assert {f"{name}.ipynb" for name in NAMES} <= found
        assert "python3" in client.get("/api/kernelspecs").json()["kernelspecs"]


def test_saving_writes_both_halves_and_no_output(lab):
    url, folder = lab
    path = f"{NAMES[0]}.ipynb"
    with sign_in(url, PASSWORD) as client:
        model = client.get(f"/api/contents/{path}").json()
        cell = next(cell for cell in model["content"]["cells"] if cell["cell_type"] == "code")
        cell["source"] += "\nADDED = 1"
        cell["execution_count"] = 7
        cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "patient 8222157"}]
        saved = {"type": "notebook", "format": "json", "content": model["content"]}
        assert client.put(f"/api/contents/{path}", json=saved).status_code == 200
    assert "ADDED = 1" in (folder / f"{NAMES[0]}.py").read_text()
    kept = (folder / path).read_text()
    assert "ADDED = 1" in kept
    assert "8222157" not in kept
    assert all(not cell.get("outputs") for cell in json.loads(kept)["cells"])
