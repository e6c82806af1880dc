"""What watches the system, and a system to watch."""

import os
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import sqlalchemy as sa
import yaml

from server3.api.conftest import Versions
from server3.api.support.service import Service
from server3.api.support.tracking import CHECKOUT, MODEL, Registry, Tracking
from server3.observability.support import programs
from server3.observability.support.half_hour import live_through
from server3.observability.support.prometheus import Prometheus, running
from support import mysql

MAKE_VERSIONS = CHECKOUT / "tests" / "server3" / "api" / "support" / "make_versions.py"
BLACKBOX = programs.OBSERVABILITY / "blackbox" / "blackbox.yml"
ALERTMANAGER = programs.OBSERVABILITY / "alertmanager" / "alertmanager.yml"
NODE = tuple(
    f"--collector.{name}"
    for name in ("cpu", "meminfo", "filesystem", "diskstats", "netdev", "loadavg", "textfile")
)
AIRFLOW_HEALTH = Path(__file__).parent / "support" / "airflow_health.json"
KUBERNETES_METRICS = Path(__file__).parent / "support" / "kubernetes_metrics.txt"
"""The metrics that alerts and dashboards use, in the words of kube-state-metrics 2.15."""
CERTIFICATE_METRICS = CHECKOUT / "ansible" / "roles" / "base" / "files" / "certificate-metrics"
VOLUME_METRICS = CERTIFICATE_METRICS.with_name("volume-metrics")
AIRFLOW_LINES = Path(__file__).parent / "support" / "airflow_lines.txt"
"""What a real Airflow 3.3.2 sent while it ran `load_raw_data` and `preprocess_incremental` on the sample:
scheduler, DAG processor and tasks, each series at most twice."""

# The one line that those two runs had no reason to send, as DagRun spells it.
FAILED_RUN = "airflow.dagrun.duration.failed,dag_id=train_and_register,run_type=asset_triggered:5321.5|ms"


def send(port: int) -> None:
    """Send Airflow's lines to an exporter, a datagram each, as Airflow does."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        for line in [*AIRFLOW_LINES.read_text().splitlines(), FAILED_RUN]:
            udp.sendto(line.encode(), ("127.0.0.1", port))


@pytest.fixture(scope="session")
def airflow_lines() -> Callable[[int], None]:
    return send


@pytest.fixture
def statsd(tmp_path: Path) -> Iterator[tuple[str, int]]:
    with programs.statsd(tmp_path / "statsd") as running:
        yield running


@pytest.fixture(scope="session")
def watched(tmp_path_factory: pytest.TempPathFactory, mysql_server: mysql.Server) -> Iterator[Prometheus]:
    """Prometheus after half an hour of the whole system, time-compressed.

    Real: the inference API, MLflow, MySQL, the exporters, Alertmanager. Airflow's part is lines and a health
    answer recorded from a real one; the edge presents a real certificate, but nothing is behind it.
    """
    folder = tmp_path_factory.mktemp("watched")
    with ExitStack() as stack:
        tracking = Tracking(folder / "tracking")
        making = subprocess.Popen(
            [
                CHECKOUT / ".venvs/data/bin/python", MAKE_VERSIONS, folder / "versions",
                "one:1", "two:2", "--trees", "10",
            ],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        stack.callback(making.kill)
        stack.callback(tracking.stop)
        tracking.start()
        airflow, udp = stack.enter_context(programs.statsd(folder / "statsd"))
        node = stack.enter_context(
            programs.exporter(
                "node-exporter",
                folder / "node",
                "--collector.disable-defaults",
                *NODE,
                f"--collector.textfile.directory={folder}",
            )
        )
        served = certificate(folder / "edge", days=90)
        subprocess.run([CERTIFICATE_METRICS, folder / "certificates.prom", served], check=True)
        (folder / "volumes" / "readmission-data-airflow-logs-pvc-1f7a").mkdir(parents=True)
        subprocess.run([VOLUME_METRICS, folder / "volumes.prom", folder / "volumes"], check=True)
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(served)
        prober = stack.enter_context(
            programs.exporter(
                "blackbox-exporter",
                folder / "blackbox",
                f"--config.file={BLACKBOX}",
                SSL_CERT_FILE=str(served),
            )
        )
        database = stack.enter_context(
            programs.exporter("mysqld-exporter", folder / "mysqld", *mysql_login(folder, mysql_server))
        )
        manager = stack.enter_context(programs.alertmanager(folder / "alertmanager", ALERTMANAGER))
        retrain = stack.enter_context(programs.retrain(folder / "retrain"))
        airflow_health = stack.enter_context(answering(AIRFLOW_HEALTH.read_bytes()))
        kubernetes = stack.enter_context(answering(KUBERNETES_METRICS.read_bytes(), "text/plain"))
        edge = stack.enter_context(answering(b"", tls=tls))
        assert making.wait(timeout=120) == 0
        registry = Registry(tracking, MODEL)
        registry.register(folder / "versions" / "one", "production")
        registry.register(folder / "versions" / "two", "challenger")
        service = stack.enter_context(
            Service(
                folder / "api",
                registry,
                prediction_log_url=f"sqlite:///{folder / 'log.db'}",
                drift_minimum=100,
                max_batches=1,
                max_batch_queue=1,
                max_explanations=1,
                max_explanation_queue=1,
            )
        ).start()
        targets = {
            "readmission-api": [{"targets": [f"127.0.0.1:{service.port}"]}],
            "airflow": [{"targets": [airflow]}],
            "mlflow": [{"targets": [f"{tracking.uri}/health"], "labels": {"prober": prober}}],
            "airflow-api": [{"targets": [f"http://{airflow_health}"], "labels": {"prober": prober}}],
            "minio": [{"targets": [f"https://{edge}/minio/health/live"], "labels": {"prober": prober}}],
            "edges": [{"targets": [edge], "labels": {"prober": prober}}],
            "kubernetes": [{"targets": [kubernetes]}],
            "mysql": [{"targets": [database]}],
            "node": [{"targets": [node]}],
            "alertmanager": [{"targets": [manager]}],
            "retrain": [{"targets": [retrain]}],
        }
        prometheus = stack.enter_context(running(folder / "prometheus", targets))
        prometheus.began = time.time()
        exam = Versions(folder / "versions" / "one", folder, folder).exam(folder / "versions" / "one")
        live_through(service, registry, [patient for patient, _ in exam], lambda: send(udp))
        prometheus.ended = time.time()
        yield prometheus


def mysql_login(folder: Path, server: mysql.Server) -> list[str]:
    """The options of mysqld_exporter for a user of its own.

    The release that Debian has asks for SHOW SLAVE STATUS, which MySQL 8.4 took away.
    """
    url = sa.make_url(server.create_database("watched"))
    # The rights of the deployed exporter.
    server.execute(f"GRANT PROCESS, REPLICATION CLIENT ON *.* TO '{url.username}'@'%'")
    login = folder / "exporter.cnf"
    login.write_text(
        f"[client]\nhost={url.host}\nport={url.port}\nuser={url.username}\npassword={url.password}\n"
    )
    return [f"--config.my-cnf={login}", "--no-collect.slave_status", *deployed_collectors()]


def deployed_collectors() -> list[str]:
    """Return what the deployed exporter collects besides its defaults."""
    manifest = CHECKOUT / "ansible" / "manifests" / "mysql" / "exporter.yaml"
    deployment = next(one for one in yaml.safe_load_all(manifest.read_text()) if one["kind"] == "Deployment")
    arguments = deployment["spec"]["template"]["spec"]["containers"][0]["args"]
    return [one for one in arguments if one.startswith("--collect.")]


@contextmanager
def answering(
    body: bytes, content_type: str = "application/json", tls: ssl.SSLContext | None = None
) -> Iterator[str]:
    """Serve one recorded answer at every path; yield the host and the port."""

    class Recorded(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", content_type)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Recorded)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def certificate(folder: Path, days: int) -> Path:
    """Make a certificate for 127.0.0.1 with its key in one file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "server.crt"
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-days", str(days), "-subj", "/CN=edge", "-addext", "subjectAltName=IP:127.0.0.1",
            "-keyout", path, "-out", folder / "certificate",
        ],
        check=True,
        capture_output=True,
    )  # fmt: skip
    path.write_bytes(path.read_bytes() + (folder / "certificate").read_bytes())
    return path
