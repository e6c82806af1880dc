"""The configs of the watching programs, checked by the programs themselves."""

import subprocess

from server3.observability.support import files
from server3.observability.support.programs import OBSERVABILITY, find

PROMETHEUS = OBSERVABILITY / "prometheus" / "prometheus.yml"


def jobs():
    return files.read_yaml(PROMETHEUS)["scrape_configs"]


def test_prometheus_takes_its_config():
    ran = subprocess.run(
        [find("promtool"), "check", "config", PROMETHEUS], check=False, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_prober_takes_its_config():
    ran = subprocess.run(
        [
            find("blackbox-exporter"),
            "--config.check",
            f"--config.file={OBSERVABILITY / 'blackbox/blackbox.yml'}",
        ],
        check=False,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_each_job_has_its_file_of_targets_and_each_file_its_job():
    named = {job["job_name"]: job["file_sd_configs"] for job in jobs()}
    assert named == {name: [{"files": [f"targets/{name}.yml"]}] for name in named}
    assert {path.stem for path in (PROMETHEUS.parent / "targets").glob("*.yml")} == set(named)


def test_each_probe_asks_for_a_module_that_the_prober_has():
    modules = files.read_yaml(OBSERVABILITY / "blackbox" / "blackbox.yml")["modules"]
    probes = [job for job in jobs() if job.get("metrics_path") == "/probe"]
    assert {module for job in probes for module in job["params"]["module"]} == set(modules)
    for job in probes:
        for group in files.read_yaml(PROMETHEUS.parent / "targets" / f"{job['job_name']}.yml"):
            assert group["labels"]["prober"]


def test_on_one_machine_everything_is_on_loopback():
    for path in (PROMETHEUS.parent / "targets").glob("*.yml"):
        for group in files.read_yaml(path):
            for target in [*group["targets"], group.get("labels", {}).get("prober", "127.0.0.1")]:
                assert "127.0.0.1" in target
