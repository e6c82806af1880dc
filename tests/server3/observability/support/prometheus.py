"""A real Prometheus with the shipped config, in which fifteen seconds are one."""

import math
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml

from server3.api.support.tracking import free_port
from server3.observability.support import files, programs

SCRAPE_SECONDS = 1
# As in Grafana: four scrapes.
RATE_INTERVAL = f"{4 * SCRAPE_SECONDS}s"
RUNBOOKS = "https://docs.example.org/runbooks"
GRAFANA = "https://grafana.example.org"


@dataclass
class Prometheus:
    """`began` and `ended` are the time range of queries, in seconds since 1970."""

    address: str
    began: float = 0
    ended: float = 0
    _http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=20))

    def get(self, path: str, **parameters: Any) -> Any:
        answer = self._http.get(f"http://{self.address}/api/v1/{path}", params=parameters).json()
        assert answer["status"] == "success", answer
        return answer["data"]

    def values(self, query: str, *, instant: bool = False) -> dict[str, list[float]]:
        """Return each series' numbers without NaN, at the end of the time range or for all of it."""
        assert "$" not in query, f"a variable was left in {query}"
        if instant:
            found = self.get("query", query=query, time=self.ended)["result"]
            points = {str(series["metric"]): [series["value"]] for series in found}
        else:
            span = {"start": self.began, "end": self.ended, "step": SCRAPE_SECONDS}
            found = self.get("query_range", query=query, **span)["result"]
            points = {str(series["metric"]): series["values"] for series in found}
        numbers = {name: [float(value) for _, value in series] for name, series in points.items()}
        return {
            name: kept
            for name, series in numbers.items()
            if (kept := [value for value in series if not math.isnan(value)])
        }


@contextmanager
def running(
    folder: Path, targets: dict[str, list[dict[str, Any]]], rules: Callable[[str], str] = str
) -> Iterator[Prometheus]:
    """Run Prometheus with the targets of each job, in the form of a file of service discovery.

    `rules` may change the text of each file of rules.
    """
    config = files.read_yaml(programs.OBSERVABILITY / "prometheus" / "prometheus.yml")
    config["global"] |= {
        "scrape_interval": f"{SCRAPE_SECONDS}s",
        "scrape_timeout": f"{SCRAPE_SECONDS}s",
        "evaluation_interval": f"{SCRAPE_SECONDS}s",
    }
    address = f"127.0.0.1:{free_port()}"
    targets = {**targets, "prometheus": [{"targets": [address]}]}
    assert {job["job_name"] for job in config["scrape_configs"]} == set(targets)
    (folder / "targets").mkdir(parents=True)
    for job, groups in targets.items():
        (folder / "targets" / f"{job}.yml").write_text(yaml.safe_dump(groups))
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    shutil.copytree(files.RULES, folder / "rules")
    for path in (folder / "rules").glob("*.rules.yml"):
        path.write_text(rules(path.read_text().replace("interval: 30s", f"interval: {SCRAPE_SECONDS}s")))
    command = [
        programs.find("prometheus"), f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address={address}", "--log.level=warn",
        "--enable-feature=expand-external-labels",
    ]  # fmt: skip
    links = {"READMISSION_RUNBOOKS_URL": RUNBOOKS, "READMISSION_GRAFANA_URL": GRAFANA}
    with programs.running(command, folder, f"http://{address}/-/ready", links):
        yield Prometheus(address)
