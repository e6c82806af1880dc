"""Locust as users run it, against a real API."""

import json
import os
import re
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from readmission_loadtest.patients import draw
from server3.ui.support import processes

PACKAGE = Path(__file__).parents[3] / "server3-serving/loadtest/src/readmission_loadtest"
LOCUST = Path(processes.python("loadtest")).with_name("locust")
QUICK = {"PATIENTS": "200", "BATCH_SHARE": "0.1", "EXPLAIN_SHARE": "0.05"}
STEPS = QUICK | {"FIRST_USERS": "2", "MOST_USERS": "4", "SETTLE_SECONDS": "1", "STEP_SECONDS": "1"}


def locust(*options, folder, **settings):
    environment = {f"READMISSION_LOADTEST_{name}": value for name, value in settings.items()}
    return subprocess.run(
        [LOCUST, "--headless", "--only-summary", *options],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def search(host, folder, **settings):
    files = f"{PACKAGE / 'locustfile.py'},{PACKAGE / 'capacity.py'}"
    return locust("--locustfile", files, "--host", host, folder=folder, **(STEPS | settings))


def requests_of(csv: Path) -> dict[str, tuple[int, int]]:
    rows = [line.split(",") for line in csv.read_text().splitlines()[1:]]
    return {row[1]: (int(row[2]), int(row[3])) for row in rows}


def test_drawn_patients_are_answered(api):
    schema = httpx.get(f"{api.url}/model/schema").json()
    patients = draw(schema, 300, seed=1)
    assert patients == draw(schema, 300, seed=1) != draw(schema, 300, seed=2)
    answer = httpx.post(f"{api.url}/predict_batch", json=patients, timeout=60)
    assert answer.status_code == 200
    assert answer.json()["count"] == 300


def test_a_hospital_asks_for_all_three_kinds_of_answer(api, tmp_path):
    done = locust(
        *("--locustfile", PACKAGE / "locustfile.py", "--host", api.url),
        *("--users", "8", "--spawn-rate", "8", "--run-time", "8s", "--csv", "found", "--html", "found.html"),
        folder=tmp_path,
        **QUICK,
    )
    assert done.returncode == 0, done.stderr
    found = requests_of(tmp_path / "found_stats.csv")
    assert found.keys() == {"/predict", "/predict_batch", "/explain", "Aggregated"}
    assert all(asked > 0 and failed == 0 for asked, failed in found.values())
    assert (tmp_path / "found.html").stat().st_size > 1000


def test_a_master_divides_the_users_between_workers(api, tmp_path):
    port = str(processes.free_port())
    common = ("--locustfile", str(PACKAGE / "locustfile.py"), "--host", api.url)
    environment = {**os.environ, **{f"READMISSION_LOADTEST_{name}": value for name, value in QUICK.items()}}
    workers = [
        subprocess.Popen(
            [LOCUST, *common, "--worker", "--master-port", port],
            cwd=tmp_path,
            env=environment,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(2)
    ]
    try:
        done = locust(
            *common,
            *("--master", "--master-bind-host", "127.0.0.1", "--master-bind-port", port),
            *("--expect-workers", "2", "--users", "8", "--spawn-rate", "8", "--run-time", "8s"),
            *("--csv", "found"),
            folder=tmp_path,
            **QUICK,
        )
        assert [worker.wait(timeout=30) for worker in workers] == [0, 0]
    finally:
        for worker in workers:
            worker.kill()
    assert done.returncode == 0, done.stderr
    asked, failed = requests_of(tmp_path / "found_stats.csv")["/predict"]
    assert asked > 20
    assert failed == 0


def test_a_search_reports_the_highest_sustained_load(api, tmp_path):
    done = search(api.url, tmp_path, P95_LIMIT_MS="5000", REPORT="reports/found")
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "reports/found.json").read_text())
    assert [step["users"] for step in figures["steps"]] == [2, 3, 4]
    assert figures["held"]["users"] == 4
    # Each user sends ten requests per second: the search measures what was sent.
    assert figures["held"]["requests_per_second"] == pytest.approx(40, rel=0.5)
    assert "**highest sustained**" in (tmp_path / "reports/found.md").read_text()
    assert (tmp_path / "reports/found.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"P95_LIMIT_MS": "0.001"}, "no load was sustained: even 2 users were too many"),
        ({"P95_LIMIT_MS": "5000", "REQUIRED_RATE": "1000000"}, "the required rate is 1000000 requests/s"),
    ],
)
def test_a_search_that_finds_too_little_exits_with_1(api, tmp_path, settings, line):
    done = search(api.url, tmp_path, MOST_USERS="2", **settings)
    assert done.returncode == 1, done.stderr
    assert line in done.stderr


def test_without_an_api_one_line_says_what_to_do(tmp_path):
    address = f"http://127.0.0.1:{processes.free_port()}"
    done = search(address, tmp_path)
    assert done.returncode == 2
    lines = [line for line in done.stderr.splitlines() if "no model serves at" in line]
    assert len(lines) == 1
    assert address in lines[0]
    assert "Traceback" not in done.stderr


def test_the_pages_ask_for_a_login(api, tmp_path):
    port = processes.free_port()
    pages = f"http://127.0.0.1:{port}"
    command = [
        *(LOCUST, "--locustfile", PACKAGE / "locustfile.py", "--host", api.url),
        *("--web-host", "127.0.0.1", "--web-port", str(port), "--web-login"),
    ]
    named = {"READMISSION_LOADTEST_WEB_USER": "load", "READMISSION_LOADTEST_WEB_PASSWORD": "open sesame"}
    server = subprocess.Popen(command, cwd=tmp_path, env={**os.environ, **named}, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 60
        while True:
            try:
                assert httpx.get(f"{pages}/login").status_code == 200
                break
            except httpx.TransportError:
                assert server.poll() is None
                assert time.monotonic() < end
                time.sleep(0.2)
        with httpx.Client(base_url=pages) as browser:
            assert browser.get("/").headers["location"].startswith("/login")
            for user, password in (("load", "wrong"), ("other", "open sesame"), ("", "")):
                browser.post("/login_submit", data={"username": user, "password": password})
                assert browser.get("/").status_code == 302
                assert browser.post("/swarm", data={"user_count": 1, "spawn_rate": 1}).status_code == 302
            browser.post("/login_submit", data={"username": "load", "password": "open sesame"})
            page = browser.get("/")
            assert page.status_code == 200
            assert re.search(r"locust", page.text, re.IGNORECASE)
    finally:
        server.terminate()
        server.wait(timeout=20)


def test_a_login_without_a_password_does_not_start(tmp_path):
    done = subprocess.run(
        [LOCUST, "--locustfile", PACKAGE / "locustfile.py", "--web-port", "0", "--web-login"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "READMISSION_LOADTEST_WEB_PASSWORD" in done.stderr
