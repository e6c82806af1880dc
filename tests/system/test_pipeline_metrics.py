"""The data metrics of a DAG's task, sent to Prometheus through Airflow's StatsD client."""

import contextlib
import socket
import sqlite3

import pytest
from airflow.sdk.exceptions import AirflowSkipException
from airflow.sdk.observability import stats
from airflow.sdk.observability.metrics.stats_utils import get_stats_factory

from readmission_data.dataset import synthetic
from readmission_data.pipeline_metrics import report_raw
from readmission_data.settings import DataSettings
from readmission_data.tasks import load_batches


@pytest.fixture
def received(monkeypatch):
    """A function that returns the metrics sent to StatsD since the last call: name with tags, value."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        udp.settimeout(0)
        for key, value in {
            "STATSD_ON": "True",
            "STATSD_HOST": "127.0.0.1",
            "STATSD_PORT": str(udp.getsockname()[1]),
            "STATSD_INFLUXDB_ENABLED": "True",
        }.items():
            monkeypatch.setenv(f"AIRFLOW__METRICS__{key}", value)
        stats.initialize(factory=get_stats_factory(), export_legacy_names=False)

        def read():
            lines = []
            with contextlib.suppress(BlockingIOError):
                while True:
                    lines.append(udp.recv(4096).decode())
            return {
                name: float(value.removesuffix("|g")) for name, value in (line.split(":") for line in lines)
            }

        yield read
    monkeypatch.undo()
    stats.initialize(factory=get_stats_factory(), export_legacy_names=False)


def test_each_load_says_what_rawdata_holds_and_whether_more_will_come(tmp_path, monkeypatch, received):
    sample = tmp_path / "sample.csv"
    synthetic.write(sample, encounters=600, seed=3)
    lines = sample.read_text().splitlines()
    lines[3] = "not a number" + lines[3][lines[3].index(",") :]
    sample.write_text("\n".join(lines) + "\n")
    for key, value in {
        "DATASET": str(sample),
        "RAW_URL": f"sqlite:///{tmp_path / 'raw.db'}",
        "CLEAN_URL": f"sqlite:///{tmp_path / 'clean.db'}",
        "CACHE_DIR": str(tmp_path / "cache"),
        "BATCH_SIZE": "200",
    }.items():
        monkeypatch.setenv(f"READMISSION_{key}", value)

    load_batches(everything=False, again=False)
    first = received()
    assert first["airflow.readmission.raw.batches"] == 1
    assert first["airflow.readmission.raw.source_exhausted"] == 0
    assert first["airflow.readmission.raw.rows,kind=train"] == 200
    assert first["airflow.readmission.raw.rows,kind=rejected"] == 1

    load_batches(everything=True, again=False)
    whole = received()
    rows = {name: value for name, value in whole.items() if name.startswith("airflow.readmission.raw.rows,")}
    assert sum(rows.values()) == 600
    assert rows["airflow.readmission.raw.rows,kind=rejected"] == 1
    assert whole["airflow.readmission.raw.batch_rows,kind=rejected"] == 0
    assert whole["airflow.readmission.raw.batch_finished"] > first["airflow.readmission.raw.batch_finished"]
    assert whole["airflow.readmission.raw.source_exhausted"] == 1

    # Nothing new: the run is skipped, and sends everything again.
    with pytest.raises(AirflowSkipException):
        load_batches(everything=False, again=False)
    assert received() == whole

    # A feed of this data set ends as well. One of a hospital's own data never does.
    monkeypatch.setenv("READMISSION_SOURCE", "feed")
    monkeypatch.setenv("READMISSION_FEED_URL", "http://feed:8300/encounters")
    settings = DataSettings()
    for kind, ends in (("synthetic", 1), ("own", 0)):
        with contextlib.closing(sqlite3.connect(tmp_path / "raw.db")) as raw:
            raw.execute("UPDATE batch_info SET dataset_kind = ?", [kind])
            raw.commit()
        report_raw(settings, exhausted=True)
        assert received()["airflow.readmission.raw.source_exhausted"] == ends
