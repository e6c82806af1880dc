"""How fast and how reliably the inference API answers."""

from typing import Final

from readmission_dashboards.board import PROMOTIONS, Board, Row, instances_of
from readmission_dashboards.panels import (
    GOOD_IF_ONE,
    YES_NO,
    Query,
    distribution,
    graph,
    over,
    stat_panel,
)

_API: Final = '{job="readmission-api",instance=~"$instance"}'
_RATE: Final = f"{_API}[$__rate_interval]"
_LATENCY: Final = f"sum by (le) (rate(prediction_latency_seconds_bucket{_RATE}))"


def _ratio(name: str) -> tuple[Query, ...]:
    return tuple(
        Query(f"readmission:prediction_{name}:ratio_rate{window}", window) for window in ("5m", "1h", "6h")
    )


BOARD: Final = Board(
    name="api-performance",
    title="API performance",
    description="How fast and how reliably the inference API answers.",
    since="6h",
    marks=(PROMOTIONS,),
    variables=(instances_of("readmission-api"),),
    stats=(
        stat_panel(
            "API answers",
            "Whether every instance of the API answers Prometheus.",
            YES_NO,
            Query(f"min(up{_API})"),
            steps=GOOD_IF_ONE,
        ),
        stat_panel(
            "Model ready",
            "Whether every instance has a model to answer with.",
            YES_NO,
            Query(f"min(model_ready{_API})"),
            steps=GOOD_IF_ONE,
        ),
        stat_panel(
            "Patients per second",
            "Patients scored per second, single and in batches.",
            "short",
            Query(f"sum(rate(predictions_total{_RATE}))"),
            decimals=1,
        ),
        stat_panel(
            "99th percentile",
            "Time within which 99 % of single predictions are answered. The objective is 25 ms.",
            "s",
            Query(f"histogram_quantile(0.99, {_LATENCY})"),
            steps=((None, "green"), (0.01, "yellow"), (0.025, "red")),
        ),
        stat_panel(
            "Failed, last 6 hours",
            "Share of predictions that failed by the API's own fault. The objective is 0.1 % over 30 days.",
            "percentunit",
            Query("readmission:prediction_failures:ratio_rate6h"),
            steps=((None, "green"), (0.001, "yellow"), (0.006, "red")),
            decimals=3,
        ),
        stat_panel(
            "Over 25 ms, last 6 hours",
            "Share of single predictions that took longer than 25 ms. The objective is 1 % over 30 days.",
            "percentunit",
            Query("readmission:prediction_slow:ratio_rate6h"),
            steps=((None, "green"), (0.01, "yellow"), (0.06, "red")),
            decimals=2,
        ),
    ),
    rows=(
        Row(
            "Load",
            ("ApiDown", "RequestsShed"),
            (
                graph(
                    "Patients scored, by class and version",
                    "Patients scored per second. Class 1 is flagged as likely to be readmitted.",
                    "reqps",
                    Query(
                        f"sum by (class, version) (rate(predictions_total{_RATE}))",
                        "class {{class}}, version {{version}}",
                    ),
                    width=12,
                    stacked=True,
                ),
                graph(
                    "Requests by route and status",
                    "HTTP requests per second, by route and status of the answer.",
                    "reqps",
                    Query(
                        f"sum by (route, status) (rate(http_requests_total{_RATE}))", "{{route}} {{status}}"
                    ),
                    width=12,
                ),
                graph(
                    "Requests in flight",
                    "Requests that were received and are not answered yet.",
                    "short",
                    Query(f"sum by (instance) (requests_in_flight{_API})", "{{instance}}"),
                    height=7,
                ),
                graph(
                    "Patients per call of the model",
                    "Mean number of patients that the model scores in one call.",
                    "short",
                    Query(
                        f"sum by (route) (rate(prediction_batch_size_sum{_RATE})) / "
                        f"sum by (route) (rate(prediction_batch_size_count{_RATE}))",
                        "{{route}}",
                    ),
                    height=7,
                ),
                graph(
                    "Requests refused for load",
                    "Requests answered with 503 because too many were waiting.",
                    "reqps",
                    Query(f"sum by (route) (rate(requests_shed_total{_RATE}))", "{{route}}"),
                    height=7,
                ),
            ),
        ),
        Row(
            "Latency",
            ("PredictionLatencyBurnFast", "PredictionLatencyBurnSlow"),
            (
                graph(
                    "Single predictions",
                    "Time to answer a single prediction, by percentile. The objective is 25 ms for 99 %.",
                    "s",
                    *(
                        Query(f"histogram_quantile({share}, {_LATENCY})", legend)
                        for share, legend in ((0.5, "median"), (0.95, "95 %"), (0.99, "99 %"))
                    ),
                    width=12,
                    steps=over(0.025),
                ),
                distribution(
                    "Single predictions, distribution",
                    "How many single predictions took how long.",
                    "s",
                    f"sum by (le) (increase(prediction_latency_seconds_bucket{_RATE}))",
                    width=12,
                ),
            ),
        ),
        Row(
            "Failures and the objectives",
            ("ApiHasNoModel", "PredictionFailuresBurnFast", "PredictionFailuresBurnSlow"),
            (
                graph(
                    "Failures by kind",
                    "Predictions not answered, by kind. A refused patient is the caller's fault and counts "
                    "against no objective.",
                    "reqps",
                    Query(f"sum by (kind) (rate(prediction_errors_total{_RATE}))", "{{kind}}"),
                ),
                graph(
                    "Share of failed predictions",
                    "Share that failed by the API's own fault, over three windows. An alert fires above the "
                    "line, 14.4 times the objective.",
                    "percentunit",
                    *_ratio("failures"),
                    steps=over(0.0144),
                ),
                graph(
                    "Share over 25 ms",
                    "Share of single predictions slower than 25 ms, over three windows. An alert fires above "
                    "the line, 14.4 times the objective.",
                    "percentunit",
                    *_ratio("slow"),
                    steps=over(0.144),
                ),
            ),
        ),
        Row(
            "Process and prediction log",
            (
                "PredictionLogDropping",
                "PredictionSpoolFilling",
                "PredictionSpoolFailing",
                "PredictionSpoolDamaged",
            ),
            (
                graph(
                    "Memory",
                    "Resident memory of each instance.",
                    "bytes",
                    Query(f"sum by (instance) (process_resident_memory_bytes{_API})", "{{instance}}"),
                    width=6,
                    height=7,
                ),
                graph(
                    "CPU",
                    "CPU time as a share of one core. Only an API with one worker per instance reports it.",
                    "percentunit",
                    Query(f"sum by (instance) (rate(process_cpu_seconds_total{_RATE}))", "{{instance}}"),
                    width=6,
                    height=7,
                ),
                graph(
                    "Prediction log",
                    "Predictions written to the log or lost, and writes that failed, per second.",
                    "wps",
                    Query(f"sum(rate(prediction_log_written_total{_RATE}))", "written"),
                    Query(f"sum(rate(prediction_log_dropped_total{_RATE}))", "lost"),
                    Query(f"sum(rate(prediction_log_failures_total{_RATE}))", "failed writes"),
                    width=6,
                    height=7,
                ),
                graph(
                    "Predictions waiting for the log",
                    "Predictions that are answered and not yet in the log.",
                    "short",
                    Query(f"sum(prediction_log_waiting{_API})", "waiting"),
                    width=6,
                    height=7,
                ),
                graph(
                    "Spool",
                    "Size of the predictions that wait in the spool while the database is away, and the size "
                    "that the spool may have. An alert fires at half of it.",
                    "bytes",
                    Query(f"max(prediction_log_spool_bytes{_API})", "used"),
                    Query(f"max(prediction_log_spool_limit_bytes{_API})", "limit"),
                    width=12,
                    height=7,
                ),
                graph(
                    "Predictions through the spool",
                    "Predictions put into the spool and loaded from it, failures of the spool, and damaged "
                    "slices, per second.",
                    "ops",
                    Query(f"sum(rate(prediction_log_spooled_total{_RATE}))", "put in"),
                    Query(f"sum(rate(prediction_log_spool_loaded_total{_RATE}))", "loaded"),
                    Query(f"sum(rate(prediction_log_spool_failures_total{_RATE}))", "failures"),
                    Query(f"sum(rate(prediction_log_spool_refused_total{_RATE}))", "damaged slices"),
                    width=12,
                    height=7,
                ),
            ),
        ),
    ),
)
