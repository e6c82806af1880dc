"""All images together, as the manifests run them: three servers, from a CSV to a prediction."""

import io
import json
import re
import ssl
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from images.conftest import NAMES, TAG
from images.support.node import Node, free_subnets
from images.support.site import SHORT, Site
from images.support.state import sql, state

pytestmark = [pytest.mark.timeout(2400), pytest.mark.usefixtures("model")]

ROWS = 4_000
SERVERS = {"server1-data": "data", "server2-tracking": "tracking", "server3-serving": "serving"}
HOSTS = {"server1-data": "DATA_HOST", "server2-tracking": "TRACKING_HOST", "server3-serving": "SERVING_HOST"}
PAGES = {
    "server1-data": {30080: "/api/v2/version", 30088: "/api"},
    "server2-tracking": {30001: "/minio/health/live", 30002: "/", 30003: "/health"},
    "server3-serving": {30080: "/health/live", 30081: "/_stcore/health", 30009: "/login"},
}
"""What each node port of an edge answers without a login."""


@pytest.fixture(scope="module")
def nodes(docker, images, real_dataset, tmp_path_factory):
    """The three servers with all our containers running, as their manifests say."""
    assert {f"readmission/{name}:{TAG}" for name in NAMES} == set(images.values())
    folder = tmp_path_factory.mktemp("nodes")
    folder.chmod(0o755)
    for parent in list(folder.parents)[:3]:
        parent.chmod(parent.stat().st_mode | 0o011)
    nodes = {
        server: Node(docker, name, subnet, folder / name)
        for (server, name), subnet in zip(SERVERS.items(), free_subnets(len(SERVERS)), strict=True)
    }
    addresses = {HOSTS[server]: node.address for server, node in nodes.items()}
    site = Site(folder / "site", addresses | {server: node.address for server, node in nodes.items()}, TAG)
    sample = "/var/lib/readmission/dataset/sample.csv"
    merged = {"server1-data": {"dataset": {"READMISSION_DATASET": sample}, "airflow-settings": SHORT}}
    for server, node in nodes.items():
        node.objects = site.objects(server, merged.get(server, {}))
    data, tracking, serving = nodes.values()

    place = data.writable(data.claim("dataset"), 10001)
    (place / "sample.csv").write_text(first_rows(real_dataset))

    def start_tracking_and_serving():
        tracking.start("mysql")
        tracking.start("minio")
        tracking.finish("mysql-users")
        tracking.finish("minio-accounts")
        tracking.start("mlflow")
        tracking.finish("mlflow-accounts")
        tracking.start("edge")
        for name in ("api", "ui", "alertmanager", "locust", "edge"):
            serving.start(name)

    def start_data():
        data.start("mysql")
        data.finish("dataset")
        data.start("feed")
        data.finish("mysql-users")
        data.finish("airflow-migrate")
        for name in ("airflow-api", "airflow-dag-processor", "airflow-scheduler", "airflow-triggerer"):
            data.start(name)
        data.start("jupyter")
        data.start("edge")

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(start_tracking_and_serving), pool.submit(start_data)]:
            done.result()
    nodes["site"] = site
    return nodes


@pytest.fixture(scope="module")
def data(nodes):
    return nodes["server1-data"]


@pytest.fixture(scope="module")
def tracking(nodes):
    return nodes["server2-tracking"]


@pytest.fixture(scope="module")
def serving(nodes):
    return nodes["server3-serving"]


@pytest.fixture(scope="module")
def site(nodes):
    return nodes["site"]


@pytest.fixture(scope="module")
def browser(site):
    """A client that trusts the site's authority."""
    with httpx.Client(verify=ssl.create_default_context(cadata=site.ca_pem), timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def before(browser, serving):
    """The API's response while there is no model."""
    serving.wait_until_healthy("api")

    def ask():
        return browser.get(f"https://{serving.address}:30080/health/ready")

    # Until the API has asked MLflow for the first time, it can only say that it is asking.
    wait(lambda: "being loaded" not in ask().text, "the API's first look at MLflow", 60)
    return ask()


@pytest.fixture(scope="module")
def model(before, browser, data, site):
    """The three DAGs of server 1 have run, so a model for server 3's API is registered."""
    assert before.status_code == httpx.codes.SERVICE_UNAVAILABLE
    data.wait_until_healthy("airflow-api")
    airflow = f"https://{data.address}:30080"
    login = {"username": "admin", "password": site.passwords["admin"]}
    token = browser.post(f"{airflow}/auth/token", json=login).raise_for_status().json()["access_token"]
    allowed = {"Authorization": f"Bearer {token}"}

    def get(path):
        return browser.get(f"{airflow}/api/v2/{path}", headers=allowed).raise_for_status().json()

    dags = ("train_and_register", "preprocess_incremental", "load_raw_data")
    wait(lambda: set(dags) <= {dag["dag_id"] for dag in get("dags")["dags"]}, "the DAGs", 600)
    # The last one has a schedule: it runs at once, and the others after it.
    for dag in dags:
        browser.patch(
            f"{airflow}/api/v2/dags/{dag}", headers=allowed, json={"is_paused": False}
        ).raise_for_status()

    def trained():
        runs = get("dags/~/dagRuns")["dag_runs"]
        if any(run["state"] == "failed" for run in runs):
            logs = sorted(data.claim("airflow-logs").rglob("*.log"), key=lambda path: path.stat().st_mtime)
            pytest.fail("a DAG failed:\n" + "\n".join(path.read_text()[-2500:] for path in logs[-2:]))
        return any(run["dag_id"] == dags[0] and run["state"] == "success" for run in runs)

    wait(trained, "the training", 1200)


def test_the_api_says_what_it_waits_for(before):
    assert before.status_code == httpx.codes.SERVICE_UNAVAILABLE
    assert "no version has the alias production" in before.text


def test_every_container_is_healthy_by_its_own_command(data, tracking, serving):
    # Two of Airflow's start an Airflow to ask.
    with ThreadPoolExecutor(2) as pool:
        asked = [
            pool.submit(node.wait_until_healthy, name)
            for node in (data, tracking, serving)
            for name in node.containers
            if name not in {"mysql", "edge"}
        ]
    for one in asked:
        one.result()


@pytest.mark.parametrize("server", SERVERS)
def test_every_page_is_behind_the_edge(nodes, browser, server):
    for port, path in PAGES[server].items():
        answer = browser.get(f"https://{nodes[server].address}:{port}{path}")
        assert answer.status_code == httpx.codes.OK, f"{port}: {answer.text[:500]}"


def test_set_up_jobs_change_nothing_the_second_time(data, tracking, site):
    roots = {data: site.passwords["root1"], tracking: site.passwords["root2"]}
    found = {node: state(node, root) for node, root in roots.items()}
    assert len(data.set_up_jobs) == len(tracking.set_up_jobs) == 3
    with ThreadPoolExecutor(2) as pool:
        again = [pool.submit(node.finish, job) for node in roots for job in node.set_up_jobs]
    for one in again:
        one.result()
    assert {node: state(node, root) for node, root in roots.items()} == found


def test_a_patient_gets_a_prediction_which_is_logged_on_server_1(browser, serving, data, site):
    api = f"https://{serving.address}:30080"
    asked = {"Authorization": f"Bearer {site.passwords['api']}"}
    assert browser.post(f"{api}/reload_model").status_code == httpx.codes.UNAUTHORIZED
    browser.post(f"{api}/reload_model", headers=asked).raise_for_status()
    schema = browser.get(f"{api}/model/schema").raise_for_status().json()
    patient = schema["examples"][-1]["patient"]

    assert browser.post(f"{api}/predict", json=patient).status_code == httpx.codes.UNAUTHORIZED
    answer = browser.post(f"{api}/predict", json=patient, headers=asked).raise_for_status().json()

    assert 0 < answer["probability"] < 1
    # Nobody in the first rows has this field, but the model must still be accepted.
    assert next(field for field in schema["fields"] if field["name"] == "payer_code")["reference"] == "?"
    columns = "model, version, probability, class, inputs"
    query = f"SELECT {columns} FROM PredictionLog.predictions WHERE request_id = '{answer['request_id']}'"
    wait(lambda: sql(data, site.passwords["root1"], query), "the line in the prediction log", 60)
    [line] = sql(data, site.passwords["root1"], query)
    assert line[:2] == ["best_diabetes_readmission_model", "1"]
    assert float(line[2]) == pytest.approx(answer["probability"], rel=1e-8)
    assert int(line[3]) == answer["class"]
    assert json.loads(line[4])["age"] == patient["age"]


def test_no_process_has_more_rights_than_it_needs(docker, data, tracking, serving):
    seen = {f"readmission/backup:{TAG}"}
    for node in (data, tracking, serving):
        for name, container in node.containers.items():
            pids = [line.split()[0] for line in docker.run("top", container, "-o", "pid").splitlines()[1:]]
            assert pids
            for pid in pids:
                process = Path(f"/proc/{pid}")
                has_no_rights(
                    (process / "status").read_text(), (process / "mounts").read_text(), node.users[name], name
                )
            seen.add(docker.inspect(container)["Config"]["Image"])
    # It runs in Jobs alone: one of them looks at itself.
    said = [tracking.finish("minio-accounts", "cat", f"/proc/self/{name}") for name in ("status", "mounts")]
    has_no_rights(*said, 10001, "backup")
    assert seen >= {f"readmission/{name}:{TAG}" for name in NAMES}


def has_no_rights(status, mounts, user, name):
    assert user > 0
    assert re.search(rf"^Uid:\t{user}\t{user}\t{user}\t{user}$", status, re.MULTILINE), name
    assert re.search(rf"^Gid:\t{user}\t{user}\t{user}\t{user}$", status, re.MULTILINE), name
    assert re.search(r"^CapEff:\t0+$", status, re.MULTILINE), name
    assert re.search(r"^CapBnd:\t0+$", status, re.MULTILINE), name
    assert "NoNewPrivs:\t1" in status, name
    assert "Seccomp:\t2" in status, name
    root = re.search(r"^\S+ / \S+ (\S+)", mounts, re.MULTILINE)
    assert root is not None
    assert root[1].split(",")[0] == "ro", name


def test_artifacts_are_in_minio_and_the_registry_is_on_mysql(tracking, site):
    stored = [path for path in tracking.claim("data-minio").rglob("xl.meta") if "/mlflow/" in str(path)]
    assert any("model.onnx" in str(path) for path in stored)
    query = "SELECT name, alias FROM mlflow.registered_model_aliases"
    assert ["best_diabetes_readmission_model", "production"] in sql(tracking, site.passwords["root2"], query)


def wait(condition, what, seconds):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come within {seconds} s"
        time.sleep(2)


def first_rows(archive: Path) -> str:
    """The head and the first rows of the real data set."""
    with zipfile.ZipFile(archive) as files:
        name = next(name for name in files.namelist() if name.endswith("diabetic_data.csv"))
        with io.TextIOWrapper(files.open(name), "utf-8", newline="") as lines:
            return "".join(line for _, line in zip(range(ROWS + 1), lines, strict=False))
