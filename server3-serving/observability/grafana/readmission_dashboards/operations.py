"""Backups, certificates, pods, growth and the alerting itself."""

from typing import Final

from readmission_dashboards.board import Board, Row
from readmission_dashboards.growth import GROWTH
from readmission_dashboards.panels import (
    GOOD_IF_ONE,
    YES_NO,
    Query,
    Steps,
    graph,
    over,
    stat_panel,
    states,
)

_K8S: Final = 'job="kubernetes"'
_AGE: Final = (
    f'time() - (kube_cronjob_status_last_successful_time{{{_K8S},cronjob=~"backup-.+"}} '
    f'or kube_cronjob_created{{{_K8S},cronjob=~"backup-.+"}})'
)
_THREE_WEEKS: Final[Steps] = ((None, "red"), (21 * 86400, "green"))


BOARD: Final = Board(
    name="operations",
    title="operations",
    description="Backups, certificates, pods, growth and the alerting itself.",
    since="7d",
    stats=(
        stat_panel(
            "Oldest last backup",
            "Time since the last success of the backup that has waited longest.",
            "s",
            Query(f"max({_AGE})"),
            steps=over(26 * 3600),
            width=6,
        ),
        stat_panel(
            "Next certificate to expire",
            "Time until the first certificate of an edge expires.",
            "s",
            Query("min(probe_ssl_earliest_cert_expiry) - time()"),
            steps=_THREE_WEEKS,
            width=6,
        ),
        stat_panel(
            "Restarts today",
            "Restarts of containers in the last 24 hours, all servers.",
            "short",
            Query(f"sum(increase(kube_pod_container_status_restarts_total{{{_K8S}}}[1d]))"),
            width=6,
        ),
        stat_panel(
            "Object store answers",
            "Whether MinIO answers its health check.",
            YES_NO,
            Query('min(probe_success{job="minio"})'),
            steps=GOOD_IF_ONE,
            width=6,
        ),
    ),
    rows=(
        Row(
            "Backups and the object store",
            ("BackupTooOld", "BackupsUnknown", "MinioDown"),
            (
                graph(
                    "Age of the last good backup",
                    "Time since each backup last succeeded. An alert fires above the line.",
                    "s",
                    Query(_AGE, "{{namespace}} {{cronjob}}"),
                    width=12,
                    steps=over(26 * 3600),
                ),
                states(
                    "Object store",
                    "Whether MinIO answers its health check.",
                    Query('min by (instance) (probe_success{job="minio"})', "{{instance}}"),
                    width=12,
                ),
            ),
        ),
        Row(
            "Certificates",
            ("CertificateExpiresSoon", "HostMetricsStale"),
            (
                graph(
                    "Edges and their authority",
                    "Time until the certificate of each edge, or one of its chain, expires. An alert fires "
                    "below the line.",
                    "s",
                    Query("probe_ssl_earliest_cert_expiry - time()", "{{job}} {{instance}}"),
                    Query(
                        "probe_ssl_last_chain_expiry_timestamp_seconds - time()",
                        "chain of {{job}} {{instance}}",
                    ),
                    width=12,
                    steps=_THREE_WEEKS,
                ),
                graph(
                    "Files of MicroK8s",
                    "Time until each certificate in a host's files expires. An alert fires below the line.",
                    "s",
                    Query("readmission_certificate_not_after_seconds - time()", "{{instance}} {{path}}"),
                    width=12,
                    steps=_THREE_WEEKS,
                ),
            ),
        ),
        Row(
            "Pods",
            ("PodCrashing", "PodOutOfMemory"),
            (
                graph(
                    "Pods by phase",
                    "Pods of each server, by phase. Finished Jobs stay as Succeeded or Failed for a while.",
                    "short",
                    Query(
                        f"sum by (namespace, phase) (kube_pod_status_phase{{{_K8S}}})",
                        "{{namespace}} {{phase}}",
                    ),
                ),
                graph(
                    "Restarts",
                    "Restarts of containers in the last hour.",
                    "short",
                    Query(
                        "sum by (namespace, container) "
                        f"(increase(kube_pod_container_status_restarts_total{{{_K8S}}}[1h]))",
                        "{{namespace}} {{container}}",
                    ),
                ),
                graph(
                    "Containers that ran out of memory",
                    "Containers whose last or only end was by the kernel, for memory.",
                    "short",
                    Query(
                        "sum by (namespace, container) (kube_pod_container_status_last_terminated_reason"
                        f'{{{_K8S},reason="OOMKilled"}})',
                        "{{namespace}} {{container}}",
                    ),
                ),
            ),
        ),
        GROWTH,
        Row(
            "Alerting",
            ("Watchdog", "MailNotSent"),
            (
                graph(
                    "Notifications sent",
                    "Notifications that Alertmanager sent in the last hour, by channel.",
                    "short",
                    Query(
                        "sum by (integration) (increase("
                        'alertmanager_notifications_total{job="alertmanager"}[1h]))',
                        "{{integration}}",
                    ),
                    width=12,
                ),
                graph(
                    "Notifications that failed",
                    "Notifications that Alertmanager could not send in the last hour, by channel.",
                    "short",
                    Query(
                        "sum by (integration) (increase("
                        'alertmanager_notifications_failed_total{job="alertmanager"}[1h]))',
                        "{{integration}}",
                    ),
                    width=12,
                ),
            ),
        ),
    ),
)
