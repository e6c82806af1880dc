"""Properties of all our images: user, labels, health command, and what they must not contain."""

import json

import pytest

from images.conftest import NAMES
from images.support import bases

pytestmark = pytest.mark.timeout(2400)

JOBS_ONLY = {"backup"}
# Programs that would help an attacker, or only make the image larger.
ABSENT = ("gcc", "cc", "make", "uv", "go")


@pytest.fixture(params=NAMES)
def image(request, images):
    return images[request.param]


def test_it_runs_as_nobody_in_particular(docker, image):
    known = docker.inspect(image)["Config"]
    assert known["User"] == "10001:10001"
    assert not known["Entrypoint"]
    assert known["Cmd"]


def test_it_says_what_it_is(docker, image):
    labels = docker.inspect(image)["Config"]["Labels"]
    name = image.partition(":")[0]
    assert labels["org.opencontainers.image.title"] == name
    assert labels["org.opencontainers.image.revision"] not in {"", "unknown"}
    assert labels["org.opencontainers.image.base.name"].startswith("docker.io/library/python:3.11")


def test_it_has_a_health_command_unless_it_ends_by_itself(docker, image):
    test = docker.inspect(image)["Config"]["Healthcheck"]["Test"]
    if image.split("/")[1].split(":")[0] in JOBS_ONLY:
        assert test == ["NONE"]
    else:
        assert test[0] == "CMD"


def test_it_has_neither_compiler_nor_caches_nor_the_build_s_secret(docker, image):
    look = (
        f"for name in {' '.join(ABSENT)}; do command -v $name; done; "
        "ls -d /cache/* /build ~root/.cache 2>/dev/null; find /var/lib/apt/lists -name '*Packages*'; "
        "ls -A /run/secrets 2>/dev/null; sha256sum </etc/ssl/certs/ca-certificates.crt"
    )

    def found(name):
        return docker.run("run", "--rm", "--network=none", "--user=0", name, "sh", "-c", look)

    # The certificates are the base's own: those that were passed to the build are in no layer.
    assert found(image) == found(bases.PYTHON).splitlines()[-1]


def test_its_packages_are_compiled(docker, images):
    count = (
        "import json, pathlib, sys; root = pathlib.Path('/opt/venv'); "
        "print(json.dumps([sum(1 for _ in root.rglob('*.py')), sum(1 for _ in root.rglob('*.pyc'))]))"
    )
    sources, compiled = json.loads(docker.run("run", "--rm", images["api"], "python", "-c", count))
    assert compiled > sources * 0.95


def test_the_mysql_client_is_the_server_s(docker, images):
    for program in ("mysql", "mysqldump", "mysqladmin"):
        said = docker.run(
            "run", "--rm", "--read-only", "--cap-drop=ALL", images["backup"], program, "--version"
        )
        assert " 9.7" in said


def test_minio_tells_its_licence_and_source(docker, images):
    said = docker.run(
        "run",
        "--rm",
        images["minio"],
        "sh",
        "-c",
        "head -3 /usr/share/doc/minio/LICENSE; cat /usr/share/doc/minio/SOURCE",
    )
    assert "GNU AFFERO GENERAL PUBLIC LICENSE" in said
    assert "Source: github.com/minio/minio v0.0.0-" in said


@pytest.mark.parametrize("name", ["airflow", "jupyter"])
def test_the_libraries_of_the_models_load(docker, images, name):
    load = "import lightgbm, sklearn, onnxruntime, pyarrow"
    command = (
        "run",
        "--rm",
        "--read-only",
        "--tmpfs=/tmp",
        "--cap-drop=ALL",
        images[name],
        "python",
        "-c",
        load,
    )
    docker.run(*command)


def test_jupyter_saves_a_notebook_without_its_outputs(docker, images):
    start = "jupyter lab --ip=127.0.0.1 --no-browser --IdentityProvider.token=word --ServerApp.root_dir=/tmp"
    said = docker.run(
        "run",
        "--rm",
        "--init",
        "--network=none",
        "--read-only",
        "--tmpfs=/tmp",
        "--cap-drop=ALL",
        images["jupyter"],
        *("sh", "-c", f'{start} >/tmp/log 2>&1 & python -c "$1"; cat /tmp/saved.ipynb /tmp/log', "sh", SAVE),
    )
    assert '"source"' in said
    assert "outputs" in said
    assert "a patient" not in said


SAVE = """
import json, time, urllib.request as r
url, login = "http://127.0.0.1:8888/api", {"Authorization": "token word"}
for _ in range(600):
    try:
        r.urlopen(url, timeout=5)
        break
    except OSError:
        time.sleep(0.2)
shown = {"output_type": "stream", "name": "stdout", "text": "a patient"}
cell = {"id": "a1", "cell_type": "code", "source": "1", "metadata": {}, "outputs": [shown]}
cell["execution_count"] = 1
content = {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
body = json.dumps({"type": "notebook", "format": "json", "content": content}).encode()
r.urlopen(r.Request(url + "/contents/saved.ipynb", body, login, method="PUT"), timeout=60)
"""


def test_airflow_can_give_each_task_a_pod(docker, images):
    code = (
        "from airflow.executors.executor_loader import ExecutorLoader as loader; "
        "print(loader.import_executor_cls(loader.lookup_executor_name_by_str('KubernetesExecutor'))[0].__name__)"
    )
    settings = ["--env=AIRFLOW__CORE__EXECUTOR=KubernetesExecutor", "--env=AIRFLOW_HOME=/tmp/airflow"]
    said = docker.run("run", "--rm", "--network=none", *settings, images["airflow"], "python", "-c", code)
    assert said.splitlines()[-1] == "KubernetesExecutor"
