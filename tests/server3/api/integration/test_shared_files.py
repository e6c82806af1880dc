"""What outlives an API pod: predictions that wait for the log, and the copy of the model."""

import contextlib
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from readmission_api.prediction_log.tables import PREDICTIONS
from server3.api.support.shared_files import SharedFilesServer
from support import mysql


@pytest.fixture
def shared_files(tmp_path):
    with SharedFilesServer(tmp_path / "shared") as server:
        yield server


@pytest.fixture
def new_pod(new_service, shared_registry, shared_files, tmp_path):
    """A function that returns an API pod with its own disk, like a new pod."""
    numbers = iter(range(100))

    def create(registry=shared_registry, **settings):
        folder = tmp_path / f"pod-{next(numbers)}"
        given = {"shared_files_url": shared_files.url} | settings
        return new_service(registry, folder=folder, **given)

    return create


def logged(url):
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        found = list(connection.execute(sa.select(PREDICTIONS.c.request_id)).scalars())
    engine.dispose()
    return sorted(found)


def predict(pod, patient, ids):
    for request_id in ids:
        answer = pod.http.post("/predict", json=patient, headers={"x-request-id": request_id})
        assert answer.status_code == 200


@pytest.mark.mysql
def test_predictions_outlive_pods_that_end_while_the_database_is_away(
    new_pod, shared_files, patient, tmp_path
):
    folder = tmp_path / "mysql"
    folder.mkdir()
    try:
        url = mysql.start(folder, with_parent=True).create_database("log")
        stopped, killed = (new_pod(prediction_log_url=url).start() for _ in range(2))
        predict(stopped, patient, [f"before-{number}" for number in range(5)])
        stopped.wait(lambda: stopped.metric("prediction_log_written_total") == 5)
        mysql.stop(folder)

        predict(stopped, patient, [f"stopped-{number}" for number in range(150)])
        predict(killed, patient, [f"killed-{number}" for number in range(150)])
        killed.wait(lambda: killed.metric("prediction_log_spooled_total") == 150)
        assert killed.metric("prediction_log_spool_bytes") > 0
        killed.kill()
        assert stopped.stop() == 0
        assert "lost" not in stopped.log()

        # The server comes back under another port.
        server = mysql.start(folder, with_parent=True)
        url = sa.make_url(url).set(port=server.port).render_as_string(hide_password=False)
        last = new_pod(prediction_log_url=url, token="t").start()
        expected = sorted(
            [f"before-{number}" for number in range(5)]
            + [f"{name}-{number}" for name in ("stopped", "killed") for number in range(150)]
        )
        last.wait(lambda: not shared_files.slices())
        last.wait(lambda: last.http.get("/health").json()["prediction_log"] == "ok")
        assert logged(url) == expected
        assert shared_files.slices() == []
        outcome = {"request_id": "killed-7", "readmitted": True}
        answer = last.http.post("/outcomes", json=outcome, headers={"authorization": "Bearer t"})
        assert (answer.json()["recorded"], answer.json()["unknown"]) == (1, [])
        assert "[70-80)" not in last.log() + stopped.log()
    finally:
        mysql.stop(folder)


def test_several_pods_load_each_slice_once(new_pod, shared_files, patient, tmp_path):
    log = tmp_path / "log.db"
    url = f"sqlite:///{log}"
    with unwritable(log):
        first = new_pod(prediction_log_url=url).start()
        for batch in range(6):
            predict(first, patient, [f"{batch}-{number}" for number in range(20)])
            time.sleep(1)
        assert first.stop() == 0
    assert len(shared_files.slices()) > 1
    pods = [new_pod(prediction_log_url=url) for _ in range(3)]
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda pod: pod.start(), pods))
    pods[0].wait(lambda: not shared_files.slices())
    assert logged(url) == sorted(f"{batch}-{number}" for batch in range(6) for number in range(20))
    loaded = [pod.metric("prediction_log_spool_loaded_total") for pod in pods]
    assert sum(loaded) == 120


@contextlib.contextmanager
def unwritable(path):
    """Make the database file a folder for a while, so that it cannot be opened."""
    path.mkdir()
    yield
    shutil.rmtree(path)


def test_a_damaged_slice_is_set_aside_and_holds_nothing_up(new_pod, shared_files, patient, tmp_path):
    log = tmp_path / "log.db"
    url = f"sqlite:///{log}"
    with unwritable(log):
        first = new_pod(prediction_log_url=url).start()
        predict(first, patient, ["one"])
        assert first.stop() == 0
    (shared_files.root / "spool/waiting/00000000T000000-damaged").write_bytes(b"not a slice")
    second = new_pod(prediction_log_url=url).start()
    second.wait(lambda: not shared_files.slices())
    assert logged(url) == ["one"]
    assert (shared_files.root / "spool/refused/00000000T000000-damaged").read_bytes() == b"not a slice"
    assert second.metric("prediction_log_spool_refused_total") == 1


def test_a_full_spool_and_an_absent_one_leave_predictions_in_memory(new_pod, shared_files, patient, tmp_path):
    log = tmp_path / "log.db"
    url = f"sqlite:///{log}"
    with unwritable(log):
        full = new_pod(prediction_log_url=url, spool_bytes=1).start()
        predict(full, patient, ["full"])
        full.wait(lambda: full.metric("prediction_log_spool_failures_total") > 0)
        assert full.metric("prediction_log_spool_limit_bytes") == 1
        shared_files.stop()
        alone = new_pod(prediction_log_url=url).start()
        predict(alone, patient, ["alone"])
        alone.wait(lambda: alone.metric("prediction_log_spool_failures_total") > 0)
        assert (full.metric("prediction_log_waiting"), alone.metric("prediction_log_waiting")) == (1, 1)
        for pod, reason in ((full, "READMISSION_API_SPOOL_BYTES"), (alone, "does not answer")):
            lines = [line for line in pod.log().splitlines() if line.endswith("predictions wait in memory")]
            assert len(lines) == 1
            assert reason in lines[0]
    for pod in (full, alone):
        pod.wait(lambda: pod.metric("prediction_log_waiting") == 0)  # noqa: B023
    assert logged(url) == ["alone", "full"]


def version_of(pod, patient):
    return pod.http.post("/predict", json=patient).json().get("version")


def test_a_new_pod_serves_without_the_registry(new_pod, registry, tracking, versions, patient, shared_files):
    one = registry.register(versions.one, "production")
    first = new_pod(registry, reload_seconds=0.5).start()
    first.wait((shared_files.root / "models/serving").exists)
    with tracking.away():
        second = new_pod(registry, reload_seconds=0.5).start()
        assert version_of(second, patient) == one
        assert second.http.get("/health").json()["source"] == "disk"
        # Without the shared files it has nothing to serve, and says why.
        third = new_pod(registry, reload_seconds=0.5, shared_files_url="http://127.0.0.1:9").start(
            ready=False
        )
        third.wait(lambda: third.metric("model_reloads_total", result="unreachable") >= 1)
        assert third.http.get("/health/ready").status_code == 503
    two = registry.register(versions.two, "production")
    for pod in (first, second, third):
        pod.wait(lambda: version_of(pod, patient) == two)  # noqa: B023
    first.wait(lambda: two in next((shared_files.root / "models/serving").iterdir()).read_text())
    with tracking.away():
        assert version_of(new_pod(registry, reload_seconds=0.5).start(), patient) == two


@pytest.mark.parametrize("harm", ["changed file", "missing file", "foreign name", "record with a path"])
def test_a_shared_copy_that_is_not_right_is_not_served(
    new_pod, registry, tracking, versions, patient, shared_files, harm
):
    registry.register(versions.one, "production")
    first = new_pod(registry, reload_seconds=0.5).start()
    first.wait((shared_files.root / "models/serving").exists)
    first.stop()
    (folder,) = (shared_files.root / "models/versions").iterdir()
    (record,) = (shared_files.root / "models/serving").iterdir()
    if harm == "changed file":
        schema = folder / "input_schema.json"
        schema.write_text(schema.read_text().replace('"threshold": 0.', '"threshold": 0.9'))
    elif harm == "missing file":
        (folder / "model.onnx").unlink()
    elif harm == "foreign name":
        manifest = folder / "manifest.json"
        manifest.write_text(manifest.read_text().replace("model.onnx", "../../model.onnx"))
    else:
        record.write_text(record.read_text().replace(folder.name, "../../" + folder.name[6:]))
    with tracking.away():
        second = new_pod(registry, reload_seconds=0.5).start(ready=False)
        second.wait(lambda: second.metric("model_reloads_total", result="unreachable") >= 2)
        assert second.http.post("/predict", json=patient).json()["code"] == "no_model"
        assert "Traceback" not in second.log()


@pytest.mark.parametrize("name", ["../../x", "/abs", "./HASH", "A" * 64])
def test_a_tag_that_is_not_a_hash_never_becomes_a_path(new_pod, registry, versions, patient, tmp_path, name):
    one = registry.register(versions.one, "production")
    pod = new_pod(registry, token="t").start()
    precious = tmp_path / "x"
    precious.mkdir()
    registry.register(versions.two, "production", manifest_sha256=name)
    answer = pod.http.post("/reload_model", headers={"authorization": "Bearer t"})
    assert (answer.status_code, answer.json()["code"]) == (502, "model_refused")
    assert "is not a hash" in answer.json()["detail"]
    assert precious.exists()
    assert version_of(pod, patient) == one


def test_nginx_accepts_the_deployed_configuration(tmp_path):
    server = SharedFilesServer(tmp_path / "files")
    done = subprocess.run(
        ["nginx", "-t", "-c", tmp_path / "files/nginx.conf"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert server.slices() == []
