"""The page of the OpenAPI document in a real browser, on a network without internet access."""

import json
import os
import re
import shutil
import subprocess
from urllib.parse import urlsplit

import pytest


@pytest.fixture(scope="module")
def chromium():
    found = shutil.which("chromium")
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("chromium is missing (Debian: apt-get install chromium)")
        pytest.skip("chromium is missing")
    return found


def test_the_page_needs_no_other_host(service, chromium, tmp_path):
    asked = tmp_path / "net.json"
    page = subprocess.run(
        [
            chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--disable-default-apps", "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
            f"--user-data-dir={tmp_path / 'profile'}", f"--log-net-log={asked}",
            "--virtual-time-budget=20000", "--dump-dom", f"{service.url}/docs",
        ],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    ).stdout  # fmt: skip
    # The operations are drawn by the script from the document.
    for path in ("/predict", "/predict_batch", "/explain", "/reload_model"):
        assert re.search(rf'data-path="{path}"', page), page[:2000]
    # Requests of the page, not the browser's own.
    requests = [event.get("params", {}) for event in json.loads(asked.read_text())["events"]]
    asked_for = [request["url"] for request in requests if request.get("initiator") == service.url]
    assert f"{service.url}/openapi.json" in asked_for
    assert {urlsplit(url).hostname for url in asked_for} == {"127.0.0.1"}


def test_no_page_names_another_host(service):
    text = service.http.get("/docs").text
    named = re.findall(r'(?:src|href)="([^"]+)"', text)
    assert len(named) == 3
    for address in named:
        assert address.startswith("/")
        assert service.http.get(address).status_code == 200
    assert "http://" not in text
    assert "https://" not in text
    # FastAPI's second page loads a picture from its author's site.
    assert service.http.get("/redoc").status_code == 404
