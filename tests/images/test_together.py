"""All images together, as the manifests run them: three servers, from a CSV to a prediction."""

import io
import json
import re
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from images.conftest import NAMES, TAG
from images.support.node import Node
from images.support.site import SHORT, Site

pytestmark = [pytest.mark.timeout(2400), pytest.mark.usefixtures("model")]

ROWS = 4_000
SERVERS = {
    "server1-data": ("data", "172.30.101"),
    "server2-tracking": ("tracking", "172.30.102"),
    "server3-serving": ("serving", "172.30.103"),
}
HOSTS = {"server1-data": "DATA_HOST", "server2-tracking": "TRACKING_HOST", "server3-serving": "SERVING_HOST"}
OURS = {"mysql": 999, "edge": 101}
"""The user of containers that are not ours; all others are 10001."""


@pytest.fixture(scope="module")
def nodes(docker, images, real_dataset, tmp_path_factory):
    """The three servers with everything of ours in them running, each by its manifests."""
    assert {f"readmission/{name}:{TAG}" for name in NAMES} == set(images.values())
    folder = tmp_path_factory.mktemp("nodes")
    folder.chmod(0o755)
    for parent in list(folder.parents)[:3]:
        parent.chmod(parent.stat().st_mode | 0o011)
    nodes = {server: Node(docker, name, subnet, folder / name) for server, (name, subnet) in SERVERS.items()}
    addresses = {HOSTS[server]: node.address for server, node in nodes.items()}
    site = Site(folder / "site", addresses | {server: node.address for server, node in nodes.items()}, TAG)
    sample = "/var/lib/readmission/dataset/sample.csv"
    merged = {"server1-data": {"dataset": {"READMISSION_DATASET": sample}, "airflow-settings": SHORT}}
    for server, node in nodes.items():
        node.objects = site.objects(server, merged.get(server, {}))
    data, tracking, serving = nodes.values()

    place = data.writable(data.claim("dataset"), 10001)
    (place / "sample.csv").write_text(first_rows(real_dataset))

    def start_tracking():
        tracking.start("mysql")
        tracking.start("minio")
        tracking.finish("mysql-users")
        tracking.finish("minio-accounts")
        tracking.start("mlflow")
        tracking.finish("mlflow-accounts")
        tracking.start("edge")

    def start_data():
        data.start("mysql")
        data.finish("dataset")
        data.start("feed")
        data.finish("mysql-users")
        data.finish("airflow-migrate")
        data.start("airflow-api")
        data.start("jupyter")
        data.start("edge")
        data.start("airflow-dag-processor")
        data.start("airflow-triggerer")

    def start_serving():
        serving.start("api")
        serving.start("ui")
        serving.start("alertmanager")
        serving.start("locust")

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(start_tracking), pool.submit(start_data)]:
            done.result()
    data.start("airflow-scheduler")
    start_serving()
    serving.wait_until_healthy("api")
    nodes["site"] = site
    # Before there is a model: the tests look at it after.
    nodes["without_model"] = serving.execute("api", "python", "-c", READY)
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
def airflow(data, site, tmp_path_factory):
    """Airflow's REST API through the node's edge: TLS, and the login of its Secret."""
    authority = tmp_path_factory.mktemp("ca") / "ca.crt"
    authority.write_text(site.ca_pem)
    url = f"https://{data.address}:30080"
    login = {"username": "admin", "password": site.passwords["admin"]}
    data.wait_until_healthy("airflow-api")
    with httpx.Client(base_url=url, verify=str(authority), timeout=60) as client:
        token = client.post("/auth/token", json=login).raise_for_status().json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        yield client


@pytest.fixture(scope="module")
def model(airflow, data):
    """What the API of server 3 needs: the three DAGs of server 1 ran, and a model is registered."""
    dags = {"load_raw_data", "preprocess_incremental", "train_and_register"}
    wait(lambda: dags <= {dag["dag_id"] for dag in get(airflow, "dags")["dags"]}, "the DAGs", 600)
    for dag in sorted(dags, reverse=True):
        airflow.patch(f"/api/v2/dags/{dag}", params={"update_mask": "is_paused"}, json={"is_paused": False})
    started = airflow.post(
        "/api/v2/dags/load_raw_data/dagRuns", json={"logical_date": None, "conf": {"all_batches": True}}
    )
    started.raise_for_status()

    def trained():
        for dag in dags:
            for run in get(airflow, f"dags/{dag}/dagRuns")["dag_runs"]:
                if run["state"] == "failed":
                    logs = sorted(
                        (data.claim("airflow-logs")).rglob("*.log"), key=lambda path: path.stat().st_mtime
                    )
                    pytest.fail(
                        f"{dag} failed:\n" + "\n".join(path.read_text()[-2500:] for path in logs[-2:])
                    )
        runs = get(airflow, "dags/train_and_register/dagRuns")["dag_runs"]
        return any(run["state"] == "success" for run in runs)

    wait(trained, "the training", 1200)


def test_every_container_is_healthy_by_its_own_command(data, tracking, serving):
    data.wait_until_healthy(
        "feed", "jupyter", "airflow-scheduler", "airflow-dag-processor", "airflow-triggerer"
    )
    tracking.wait_until_healthy("minio", "mlflow")
    serving.wait_until_healthy("api", "ui", "alertmanager", "locust")


def test_the_api_says_what_it_waits_for(nodes):
    said = nodes["without_model"]
    assert "503" in said
    assert "no version has the alias production" in said


def test_a_patient_gets_a_prediction_which_is_logged_on_server_1(serving, data, site):
    wait(lambda: '"ready"' in serving.execute("api", "python", "-c", READY), "a model on server 3", 120)
    schema = json.loads(serving.execute("ui", "python", "-c", ASK, "http://api:8000/model/schema", ""))
    patient = json.dumps(schema["examples"][-1]["patient"])

    answer = json.loads(serving.execute("ui", "python", "-c", ASK, "http://api:8000/predict", patient))

    assert 0 < answer["probability"] < 1
    count = "SELECT COUNT(*) FROM PredictionLog.predictions"
    login = ("mysql", "-uroot", f"-p{site.passwords['root1']}", "-N", "-e", count)
    wait(lambda: int(data.execute("mysql", *login)) >= 1, "the line in the prediction log", 60)


def test_no_process_has_more_rights_than_it_needs(docker, data, tracking, serving):
    seen = set()
    for node in (data, tracking, serving):
        for name, container in node.containers.items():
            known = docker.inspect(container)
            pids = [line.split()[0] for line in docker.run("top", container, "-o", "pid").splitlines()[1:]]
            assert pids
            for pid in pids:
                status = Path(f"/proc/{pid}/status").read_text()
                wanted = OURS.get(name, 10001)
                assert re.search(rf"^Uid:\t{wanted}\t{wanted}\t{wanted}\t{wanted}$", status, re.MULTILINE), (
                    name
                )
                assert re.search(r"^CapEff:\t0+$", status, re.MULTILINE), name
                assert re.search(r"^CapBnd:\t0+$", status, re.MULTILINE), name
                assert "NoNewPrivs:\t1" in status, name
            root = re.search(r"^\S+ / \S+ (\S+)", Path(f"/proc/{pids[0]}/mounts").read_text(), re.MULTILINE)
            assert root is not None
            assert root[1].split(",")[0] == "ro", name
            seen.add(known["Config"]["Image"])
    assert seen >= {f"readmission/{name}:{TAG}" for name in NAMES} - {f"readmission/backup:{TAG}"}


def test_artifacts_are_in_minio_and_the_registry_is_on_mysql(tracking, site):
    stored = [path for path in tracking.claim("data-minio").rglob("xl.meta") if "/mlflow/" in str(path)]
    assert any("model.onnx" in str(path) for path in stored)
    query = "SELECT name, alias FROM mlflow.registered_model_aliases"
    login = ("mysql", "-uroot", f"-p{site.passwords['root2']}", "-N", "-e", query)
    assert "best_diabetes_readmission_model\tproduction" in tracking.execute("mysql", *login)


def test_set_up_jobs_can_run_again(data, tracking):
    data.finish("mysql-users")
    data.finish("airflow-migrate")
    tracking.finish("mysql-users")
    tracking.finish("minio-accounts")
    tracking.finish("mlflow-accounts")


ASK = (
    "import sys, urllib.request as r; body = sys.argv[2].encode() or None; "
    "asked = r.Request(sys.argv[1], data=body, headers={'Content-Type': 'application/json'}); "
    "print(r.urlopen(asked, timeout=10).read().decode())"
)
READY = (
    "import urllib.request as r, urllib.error\n"
    "try: print('\"ready\"', r.urlopen('http://127.0.0.1:8000/health/ready', timeout=5).status)\n"
    "except urllib.error.HTTPError as error: print(error.code, error.read().decode())"
)


def get(client, path):
    return client.get(f"/api/v2/{path}").raise_for_status().json()


def wait(condition, what, seconds):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come within {seconds} s"
        time.sleep(1)


def first_rows(archive: Path) -> str:
    """The head and the first rows of the real data set."""
    with zipfile.ZipFile(archive) as files:
        name = next(name for name in files.namelist() if name.endswith("diabetic_data.csv"))
        with io.TextIOWrapper(files.open(name), "utf-8", newline="") as lines:
            return "".join(line for _, line in zip(range(ROWS + 1), lines, strict=False))
