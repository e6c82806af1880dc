"""Airflow's StatsD lines, recorded from a real one, through the real exporter with the shipped mapping."""

import re
import urllib.request

import pytest

from server3.api.support.tracking import CHECKOUT
from server3.observability.support import files, programs

MAPPING = programs.OBSERVABILITY / "statsd" / "airflow.yml"
OWN = "airflow.readmission."


def samples(address):
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    return {
        series: float(value)
        for series, _, value in (line.rpartition(" ") for line in text.splitlines() if line[0] != "#")
    }


@pytest.fixture
def exported(statsd, airflow_lines):
    address, port = statsd
    airflow_lines(port)
    labels = 'dag_id="train_and_register",run_type="asset_triggered",state="failed"'
    last = f"airflow_dagrun_duration_seconds_count{{{labels}}}"
    programs.wait_until(lambda: samples(address).get(last) == 1, "the last line has arrived")
    return samples(address)


def test_runs_and_tasks_become_times_in_seconds(exported):
    run = 'dag_id="load_raw_data",run_type="scheduled",state="success"'
    assert exported[f"airflow_dagrun_duration_seconds_sum{{{run}}}"] == pytest.approx(67.183319)
    assert exported[f'airflow_dagrun_duration_seconds_bucket{{{run},le="60"}}'] == 0
    assert exported[f'airflow_dagrun_duration_seconds_bucket{{{run},le="120"}}'] == 1
    failed = 'dag_id="train_and_register",run_type="asset_triggered",state="failed"'
    assert exported[f"airflow_dagrun_duration_seconds_sum{{{failed}}}"] == pytest.approx(5.3215)
    save = 'dag_id="preprocess_incremental",task_id="save"'
    assert exported[f"airflow_task_duration_seconds_sum{{{save}}}"] == pytest.approx(45.688512)
    finished = 'dag_id="load_raw_data",state="success",task_id="load_batch"'
    assert exported[f"airflow_tasks_finished_total{{{finished}}}"] == 1


def test_what_the_tasks_say_of_the_data_becomes_gauges(exported):
    assert exported["readmission_raw_batches"] == 1
    assert exported["readmission_raw_source_exhausted"] == 0
    assert exported["readmission_raw_batch_finished_timestamp_seconds"] == pytest.approx(1795257040.079552)
    assert exported['readmission_raw_rows{kind="train"}'] == 1800
    assert exported['readmission_raw_batch_rows{kind="rejected"}'] == 0
    assert exported['readmission_processed_rows{split="test"}'] == 571


def test_processes_show_that_they_live(exported):
    assert exported["airflow_scheduler_heartbeat_total"] == 2
    assert exported["airflow_dag_processor_heartbeat_total"] == 2
    assert exported["airflow_dags"] == 3
    assert exported["airflow_dag_import_errors"] == 0
    assert exported["airflow_dagruns_running"] in {0, 1}


def test_every_line_is_understood_and_none_is_left_with_a_dag_in_its_name(exported):
    problem = re.compile(r"statsd_exporter_(sample_errors|tag_errors|events_conflict|events_error)_total")
    assert {series for series, value in exported.items() if problem.match(series) and value} == set()
    assert exported["statsd_exporter_lines_total"] > 100
    assert {
        series for series in exported if re.match(r"\w*(load_raw_data|preprocess|train_and)", series)
    } == set()


def test_each_name_is_one_that_airflow_sends():
    """Against the list of metrics in the Airflow that server 1 runs."""
    [registry] = CHECKOUT.glob(
        ".venvs/data/lib/*/site-packages/airflow/_shared/observability/metrics/metrics_template.yaml"
    )
    known = {metric["name"] for metric in files.read_yaml(registry)["metrics"]}
    mapped = {mapping["match"] for mapping in files.read_yaml(MAPPING)["mappings"]}
    states = {f"dagrun.duration.{state}" for state in ("success", "failed")}
    assert states <= known
    plain = {match.removeprefix("airflow.") for match in mapped if "*" not in match and OWN not in match}
    assert plain <= known


def test_each_gauge_of_the_pipeline_is_mapped():
    sources = CHECKOUT / "server1-data" / "src" / "readmission_data" / "pipeline_metrics.py"
    sent = set(re.findall(r'"(readmission\.[a-z_.]+)"', sources.read_text()))
    mapped = {mapping["match"] for mapping in files.read_yaml(MAPPING)["mappings"]}
    assert {f"airflow.{name}" for name in sent} == {match for match in mapped if match.startswith(OWN)}
