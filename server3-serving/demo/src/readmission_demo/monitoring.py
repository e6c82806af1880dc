"""Monitoring of the demo: the programs on this machine, with the shipped files and the demo's ports."""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from readmission_demo.errors import DemoError
from readmission_demo.processes import Processes, responds

PORTS: Final = {
    "prometheus": 9090,
    "alertmanager": 9093,
    "retrain": 8095,
    "statsd": 9102,
    "blackbox": 9115,
    "node": 9100,
}
STATSD_UDP: Final = 8125

_PROGRAMS: Final = {
    "prometheus": "prometheus",
    "alertmanager": "alertmanager",
    "blackbox": "blackbox-exporter",
    "node": "node-exporter",
}
_STATSD_EXPORTER: Final = "v0.29.0"
_WEBHOOK: Final = "127.0.0.1:8095"


@dataclass
class Monitoring:
    """The monitoring programs of one demo. `ports` maps names to ports, including those in `PORTS`.

    `missing` names the programs that this machine does not have.
    """

    root: Path
    state: Path
    ports: Mapping[str, int]
    processes: Processes
    missing: list[str] = field(default_factory=list)
    _found: dict[str, str] = field(default_factory=dict)

    def find(self) -> None:
        """Find the programs. Build statsd_exporter in the background if it is missing but Go is installed."""
        for name, program in _PROGRAMS.items():
            if found := _which(program) or _which(f"prometheus-{program}"):
                self._found[name] = found
            else:
                self.missing.append(program)
        built = self.root / ".cache" / "go" / f"statsd_exporter-{_STATSD_EXPORTER}"
        if found := _which("statsd_exporter") or (str(built) if built.exists() else None):
            self._found["statsd"] = found
        elif go := _which("go"):
            self.missing.append("statsd_exporter (being built, the next run has it)")
            self._build(go, built)
        else:
            self.missing.append("statsd_exporter (no Go to build it with)")

    def airflow_settings(self) -> dict[str, str]:
        """Return the settings with which Airflow sends its metrics, whether anything receives them or not."""
        return {
            "AIRFLOW__METRICS__STATSD_ON": "True",
            "AIRFLOW__METRICS__STATSD_HOST": "127.0.0.1",
            "AIRFLOW__METRICS__STATSD_PORT": str(self.ports["statsd_udp"]),
            "AIRFLOW__METRICS__STATSD_INFLUXDB_ENABLED": "True",
            "AIRFLOW__METRICS__LEGACY_NAMES_ON": "False",
        }

    def start_statsd(self) -> None:
        """Start the receiver of Airflow's metrics. Metrics that Airflow sends earlier are lost."""
        if "statsd" in self._found:
            self._start(
                "statsd",
                f"--statsd.mapping-config={self._shipped / 'statsd' / 'airflow.yml'}",
                f"--statsd.listen-udp=127.0.0.1:{self.ports['statsd_udp']}",
                "--statsd.listen-tcp=",
            )

    def start(self, retrain: Path) -> None:
        """Start the other programs, without waiting. `retrain` is the interpreter of the webhook."""
        env = {
            "READMISSION_RETRAIN_PORT": str(self.ports["retrain"]),
            "READMISSION_RETRAIN_AIRFLOW_URL": f"http://127.0.0.1:{self.ports['airflow']}",
            "READMISSION_RETRAIN_STATE": str(self.state / "retrain.json"),
        }
        self.processes.start("retrain", [retrain, "-m", "readmission_retrain"], env, self.root)
        folder = self._render()
        if "blackbox" in self._found:
            self._start("blackbox", f"--config.file={self._shipped / 'blackbox' / 'blackbox.yml'}")
        if "node" in self._found:
            self._start("node")
        if "alertmanager" in self._found:
            self._start(
                "alertmanager",
                f"--config.file={folder / 'alertmanager.yml'}",
                f"--storage.path={folder / 'alertmanager'}",
                "--cluster.listen-address=",
            )
        if "prometheus" in self._found:
            self._start(
                "prometheus",
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'prometheus'}",
                "--storage.tsdb.retention.time=30d",
                # Before release 3, external labels read the environment only with this flag.
                "--enable-feature=expand-external-labels",
                READMISSION_RUNBOOKS_URL=(self.root / "docs" / "runbooks").as_uri(),
                READMISSION_GRAFANA_URL="http://127.0.0.1:3000",
            )

    def runs(self, name: str) -> bool:
        """Return whether a program was started."""
        return name in self.processes.running

    def wait(self) -> None:
        """Wait until every program that was started responds."""
        paths = {"prometheus": "-/ready", "alertmanager": "-/ready", "retrain": "health/live"}
        for name, path in paths.items():
            if self.runs(name):
                url = f"http://127.0.0.1:{self.ports[name]}/{path}"
                self.processes.wait_until(lambda url=url: responds(url), name)  # type: ignore[misc]

    @property
    def _shipped(self) -> Path:
        return self.root / "server3-serving" / "observability"

    def _start(self, name: str, *arguments: str, **environment: str) -> None:
        address = f"--web.listen-address=127.0.0.1:{self.ports[name]}"
        self.processes.start(name, [self._found[name], address, *arguments], environment, self.state)

    def _build(self, go: str, built: Path) -> None:
        built.parent.mkdir(parents=True, exist_ok=True)
        folder = built.parent / f"build-{os.getpid()}"
        command = (
            f'"{go}" install github.com/prometheus/statsd_exporter@{_STATSD_EXPORTER}'
            f' && mv "$GOBIN/statsd_exporter" "{built}" && rmdir "$GOBIN"'
        )
        # The demo has priority; the build may safely fail or be interrupted.
        self.processes.start_passing(
            "statsd-exporter-build",
            ["nice", "-n", "19", "sh", "-c", command],
            {"GOBIN": str(folder)},
            self.state,
        )

    def _render(self) -> Path:
        """Write the shipped files with this demo's ports into its state; return the folder."""
        folder = self.state / "monitoring"
        shipped = self._shipped / "prometheus"
        shutil.rmtree(folder / "rules", ignore_errors=True)
        shutil.copytree(shipped / "rules", folder / "rules")
        shutil.copy2(shipped / "prometheus.yml", folder)
        (folder / "targets").mkdir(exist_ok=True)
        jobs = {path.stem for path in (shipped / "targets").glob("*.yml")}
        targets = self._targets()
        for job in jobs:
            # JSON is YAML too.
            (folder / "targets" / f"{job}.yml").write_text(json.dumps(targets.get(job, [])))
        alerts = (self._shipped / "alertmanager" / "alertmanager.yml").read_text()
        if _WEBHOOK not in alerts:
            raise DemoError(f"alertmanager.yml does not contain the webhook's address {_WEBHOOK}")
        (folder / "alertmanager.yml").write_text(alerts.replace(_WEBHOOK, self._address("retrain")))
        return folder

    def _targets(self) -> dict[str, list[dict[str, Any]]]:
        """Return the targets of each job that has any, in the format of file service discovery."""
        found: dict[str, list[dict[str, Any]]] = {
            "readmission-api": [{"targets": [self._address("api")]}],
            "retrain": [{"targets": [self._address("retrain")]}],
        }
        for job, name in {
            "airflow": "statsd",
            "alertmanager": "alertmanager",
            "node": "node",
            "prometheus": "prometheus",
        }.items():
            if name in self._found:
                found[job] = [{"targets": [self._address(name)]}]
        if "blackbox" in self._found:
            labels = {"prober": self._address("blackbox")}
            for job, path in {
                "mlflow": f"{self._address('mlflow')}/health",
                "airflow-api": f"{self._address('airflow')}/api/v2/monitor/health",
            }.items():
                found[job] = [{"targets": [f"http://{path}"], "labels": labels}]
        return found

    def _address(self, name: str) -> str:
        return f"127.0.0.1:{self.ports[name]}"


def _which(program: str) -> str | None:
    """Return the path of a program; Debian and Go use folders that may not be on PATH."""
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin:/usr/local/go/bin")
