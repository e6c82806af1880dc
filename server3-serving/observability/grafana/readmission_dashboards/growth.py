"""What grows: volumes, databases and logs, and the jobs that keep them small."""

from typing import Final

from readmission_dashboards.board import Row
from readmission_dashboards.panels import Query, graph, over

_CLEANUPS: Final = 'job="kubernetes",cronjob=~"cleanup-.+"'
_ASKED: Final = (
    "max by (volume) (label_join("
    'kube_persistentvolumeclaim_resource_requests_storage_bytes{job="kubernetes"}, '
    '"volume", "-", "namespace", "persistentvolumeclaim"))'
)
_FILE: Final = 'job="node",file=~".*(certificates|volumes)[.]prom"'

GROWTH: Final = Row(
    "Growth",
    ("CleanupTooOld", "VolumeNearlyFull", "BinaryLogsTooLarge", "HostMetricsStale"),
    (
        graph(
            "Time since the last cleanup",
            "Time since each nightly cleanup last succeeded. An alert fires above the line.",
            "s",
            Query(
                f"time() - (kube_cronjob_status_last_successful_time{{{_CLEANUPS}}} "
                f"or kube_cronjob_created{{{_CLEANUPS}}})",
                "{{namespace}} {{cronjob}}",
            ),
            steps=over(50 * 3600),
        ),
        graph(
            "Volumes: share of their size",
            "Size of each volume, as a share of what its claim asks for. An alert fires above the line.",
            "percentunit",
            Query(
                f'readmission_volume_bytes{{job="node"}} / on (volume) group_left () {_ASKED}',
                "{{instance}} {{volume}}",
            ),
            steps=over(0.85),
        ),
        graph(
            "Volumes: size",
            "Size of each volume on the disk of its host: databases, task logs, artifacts, backups, images.",
            "bytes",
            Query('readmission_volume_bytes{job="node"}', "{{instance}} {{volume}}"),
        ),
        graph(
            "Databases",
            "Size of each database's files. Space inside a file that a deletion freed is used again.",
            "bytes",
            Query(
                "sum by (instance, database) "
                '(mysql_info_schema_innodb_tablespace_file_size_bytes{job="mysql",database!=""})',
                "{{instance}} {{database}}",
            ),
        ),
        graph(
            "Binary logs",
            "Size of MySQL's binary logs. MySQL removes them after a week; an alert fires above the line.",
            "bytes",
            Query('mysql_binlog_size_bytes{job="mysql"}', "{{instance}}"),
            steps=over(4 * 2**30),
        ),
        graph(
            "Age of what the hosts write",
            "Age of the files in which a host reports its certificates and volumes every hour. An alert "
            "fires above the line.",
            "s",
            Query(f"time() - node_textfile_mtime_seconds{{{_FILE}}}", "{{instance}} {{file}}"),
            steps=over(3 * 3600),
        ),
    ),
)
