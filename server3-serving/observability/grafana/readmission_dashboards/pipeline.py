"""What came in, what the DAGs do, and the state of services and machines."""

from typing import Final

from readmission_dashboards.board import BATCHES, Board, Row
from readmission_dashboards.panels import YES_NO, Query, graph, stat_panel, states

_AIRFLOW: Final = '{job="airflow"}'
_NODE: Final = '{job="node"}'
_NODE_RATE: Final = f"{_NODE}[$__rate_interval]"
_REAL_DISKS: Final = 'fstype!~"tmpfs|ramfs|overlay|squashfs|iso9660"'
# Pods bring two more of each.
_REAL_LINKS: Final = '{job="node",device!~"lo|veth.*|cali.*|cni.*|flannel.*|vxlan.*|kube-.*|dummy.*"}'


def _mean(name: str, *labels: str) -> str:
    """Return the mean of a histogram over the last hour."""
    by = ", ".join(labels)
    return (
        f"sum by ({by}) (increase({name}_sum{_AIRFLOW}[1h])) / "
        f"sum by ({by}) (increase({name}_count{_AIRFLOW}[1h]))"
    )


BOARD: Final = Board(
    name="pipeline",
    title="pipeline",
    description="What came in, what the DAGs do, and the state of services and machines.",
    since="24h",
    marks=(BATCHES,),
    stats=(
        stat_panel(
            "Batches",
            "Batches in RawData.",
            "short",
            Query(f"max(readmission_raw_batches{_AIRFLOW})"),
        ),
        stat_panel(
            "Newest batch",
            "Time since the newest batch was loaded into RawData.",
            "s",
            Query(f"time() - max(readmission_raw_batch_finished_timestamp_seconds{_AIRFLOW})"),
        ),
        stat_panel(
            "Source read to its end",
            "Whether the source is a file that has been read to its end. A feed never is.",
            YES_NO,
            Query(f"max(readmission_raw_source_exhausted{_AIRFLOW})"),
        ),
        stat_panel(
            "Rejected in the newest batch",
            "Share of the newest batch that breaks the schema.",
            "percentunit",
            Query(
                'sum(readmission_raw_batch_rows{job="airflow",kind="rejected"}) / '
                f"sum(readmission_raw_batch_rows{_AIRFLOW})"
            ),
            steps=((None, "green"), (0.01, "yellow"), (0.05, "red")),
            decimals=2,
        ),
        stat_panel(
            "Runs in progress",
            "DAG runs that have started and not ended.",
            "short",
            Query(f"max(airflow_dagruns_running{_AIRFLOW})"),
        ),
        stat_panel(
            "DAG import errors",
            "DAG files that Airflow cannot import.",
            "short",
            Query(f"max(airflow_dag_import_errors{_AIRFLOW})"),
            steps=((None, "green"), (1, "red")),
        ),
    ),
    rows=(
        Row(
            "Data",
            ("NoNewBatch", "ManyRowsRejected"),
            (
                graph(
                    "Rows in RawData",
                    "Rows accepted so far, by split.",
                    "short",
                    Query('max by (kind) (readmission_raw_rows{job="airflow",kind!="rejected"})', "{{kind}}"),
                    stacked=True,
                ),
                graph(
                    "Rows of the newest batch",
                    "Rows of the newest batch, by split, and those rejected.",
                    "short",
                    Query(f"max by (kind) (readmission_raw_batch_rows{_AIRFLOW})", "{{kind}}"),
                ),
                graph(
                    "Rejected rows, all batches",
                    "Rows that break the schema, kept in rejected_rows with the reason.",
                    "short",
                    Query('max(readmission_raw_rows{job="airflow",kind="rejected"})', "rejected"),
                ),
                graph(
                    "Rows in the processed tables",
                    "Encounters of the cohort in CleanData, by split.",
                    "short",
                    Query(f"max by (split) (readmission_processed_rows{_AIRFLOW})", "{{split}}"),
                    width=12,
                    height=7,
                ),
                graph(
                    "Time to load the newest batch",
                    "Time from the first row read to the commit.",
                    "s",
                    Query(f"max(readmission_raw_batch_load_seconds{_AIRFLOW})", "load"),
                    width=12,
                    height=7,
                ),
            ),
        ),
        Row(
            "DAGs",
            ("DagFailed", "DagImportErrors", "AirflowSchedulerSilent", "AirflowUnhealthy"),
            (
                graph(
                    "Runs ended",
                    "DAG runs ended since the exporter started, by state.",
                    "short",
                    Query(
                        f"sum by (dag_id, state) (airflow_dagrun_duration_seconds_count{_AIRFLOW})",
                        "{{dag_id}} {{state}}",
                    ),
                ),
                graph(
                    "Duration of a run",
                    "Mean duration of the DAG runs that ended in the last hour.",
                    "s",
                    Query(_mean("airflow_dagrun_duration_seconds", "dag_id"), "{{dag_id}}"),
                ),
                graph(
                    "Duration of a task",
                    "Mean duration of the tasks that ended in the last hour.",
                    "s",
                    Query(
                        _mean("airflow_task_duration_seconds", "dag_id", "task_id"), "{{dag_id}}.{{task_id}}"
                    ),
                ),
                graph(
                    "Tasks ended, by state",
                    "Tasks that ended in the last hour.",
                    "short",
                    Query(
                        f"sum by (state) (increase(airflow_tasks_finished_total{_AIRFLOW}[1h]))", "{{state}}"
                    ),
                    height=7,
                ),
                graph(
                    "Wait before the first task",
                    "Mean time between the start of a DAG run and its first task, over the last hour.",
                    "s",
                    Query(_mean("airflow_dagrun_first_task_delay_seconds", "dag_id"), "{{dag_id}}"),
                    height=7,
                ),
                graph(
                    "Heartbeats per minute",
                    "Signs of life of Airflow's own processes.",
                    "cpm",
                    *(
                        Query(
                            f"sum(rate(airflow_{process}_heartbeat_total{_AIRFLOW}[$__rate_interval])) * 60",
                            legend,
                        )
                        for process, legend in (
                            ("scheduler", "scheduler"),
                            ("dag_processor", "DAG processor"),
                        )
                    ),
                    height=7,
                ),
            ),
        ),
        Row(
            "Services",
            ("MlflowDown", "MysqlDown", "TargetDown"),
            (
                states(
                    "Services",
                    "Whether each service answers: red where it does not.",
                    Query("min by (job) (probe_success)", "{{job}}"),
                    Query("min by (job) (mysql_up)", "{{job}}"),
                    Query('min by (job) (up{job!~"mlflow|airflow-api|mysql"})', "{{job}}"),
                    width=12,
                ),
                graph(
                    "MySQL queries",
                    "Statements per second of each MySQL server.",
                    "ops",
                    Query(
                        'sum by (instance) (rate(mysql_global_status_queries{job="mysql"}'
                        "[$__rate_interval]))",
                        "{{instance}}",
                    ),
                    width=6,
                ),
                graph(
                    "MySQL connections",
                    "Open connections of each MySQL server.",
                    "short",
                    Query(
                        'sum by (instance) (mysql_global_status_threads_connected{job="mysql"})',
                        "{{instance}}",
                    ),
                    width=6,
                ),
            ),
        ),
        Row(
            "Machines",
            ("DiskNearlyFull", "DiskFullSoon"),
            (
                graph(
                    "Free disk",
                    "Free share of each file system. An alert fires below the line.",
                    "percentunit",
                    Query(
                        f'node_filesystem_avail_bytes{{job="node",{_REAL_DISKS}}}'
                        " / node_filesystem_size_bytes",
                        "{{instance}} {{mountpoint}}",
                    ),
                    steps=((None, "red"), (0.1, "green")),
                    bounds=(0, 1),
                ),
                graph(
                    "Disk I/O",
                    "Bytes read and written per second, all disks of a machine.",
                    "Bps",
                    Query(
                        f"sum by (instance) (rate(node_disk_read_bytes_total{_NODE_RATE}))",
                        "{{instance}} read",
                    ),
                    Query(
                        f"sum by (instance) (rate(node_disk_written_bytes_total{_NODE_RATE}))",
                        "{{instance}} written",
                    ),
                ),
                graph(
                    "Disk busy",
                    "Share of time in which a disk works on at least one request.",
                    "percentunit",
                    Query(
                        f"max by (instance) (rate(node_disk_io_time_seconds_total{_NODE_RATE}))",
                        "{{instance}}",
                    ),
                ),
                graph(
                    "CPU in use",
                    "Share of CPU time that is not idle.",
                    "percentunit",
                    Query(
                        'clamp_min(1 - avg by (instance) (rate(node_cpu_seconds_total{job="node",mode="idle"}'
                        "[$__rate_interval])), 0)",
                        "{{instance}}",
                    ),
                    width=6,
                    height=7,
                    bounds=(0, 1),
                ),
                graph(
                    "Load per core",
                    "Processes that run or wait, mean of five minutes, divided by the number of cores.",
                    "none",
                    Query(
                        f"node_load5{_NODE} / on (instance) "
                        'count by (instance) (node_cpu_seconds_total{job="node",mode="idle"})',
                        "{{instance}}",
                    ),
                    width=6,
                    height=7,
                ),
                graph(
                    "Memory available",
                    "Share of memory that a process could get without swapping.",
                    "percentunit",
                    Query(
                        f"node_memory_MemAvailable_bytes{_NODE} / node_memory_MemTotal_bytes{_NODE}",
                        "{{instance}}",
                    ),
                    width=6,
                    height=7,
                    bounds=(0, 1),
                ),
                graph(
                    "Network",
                    "Bytes received and sent per second, without traffic between pods of one machine.",
                    "Bps",
                    Query(
                        "sum by (instance) (rate(node_network_receive_bytes_total"
                        f"{_REAL_LINKS}[$__rate_interval]))",
                        "{{instance}} received",
                    ),
                    Query(
                        "sum by (instance) (rate(node_network_transmit_bytes_total"
                        f"{_REAL_LINKS}[$__rate_interval]))",
                        "{{instance}} sent",
                    ),
                    width=6,
                    height=7,
                ),
            ),
        ),
    ),
)
