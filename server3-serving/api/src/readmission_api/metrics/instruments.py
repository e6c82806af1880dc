"""The metrics, by name. Each app has its own set; nothing is registered at import time."""

import os
from pathlib import Path
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from readmission_api.metrics.outcome_quality import Quality
from readmission_api.model_store.store import RESULTS, Reload
from readmission_api.predictor.predictor import Predictor

MULTIPROCESS_DIR: Final = "PROMETHEUS_MULTIPROC_DIR"
"""Set before prometheus_client is imported where several workers share a port."""

LATENCY_BUCKETS: Final = (
    0.00005, 0.0001, 0.0002, 0.0003, 0.0005, 0.00075, 0.001, 0.0015, 0.002, 0.003, 0.005, 0.0075,
    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0,
)  # fmt: skip
SCORE_BUCKETS: Final = (0.02, 0.04, 0.06, 0.08, 0.1, 0.125, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1.0)
SIZE_BUCKETS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 4_096, 16_384, 65_536)
DIFFERENCE_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0)

ERROR_KINDS: Final = (
    "bad_json",
    "bad_encoding",
    "wrong_content_type",
    "wrong_content_encoding",
    "body_too_large",
    "body_timeout",
    "invalid_patient",
    "invalid_batch",
    "invalid_csv",
    "overloaded",
    "no_model",
    "internal",
)


class Instruments:
    """All metrics, and their export to Prometheus."""

    def __init__(self) -> None:
        # A timestamp for every counter would double the page; Prometheus detects resets without it.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self.several_workers = MULTIPROCESS_DIR in os.environ
        registry = self.registry
        self.predictions = Counter("predictions", "Patients scored", ["class", "version"], registry=registry)
        self.latency = Histogram(
            "prediction_latency_seconds",
            "Time from a patient's request to its answer",
            buckets=LATENCY_BUCKETS,
            registry=registry,
        )
        self.errors = Counter(
            "prediction_errors", "Requests for predictions that failed", ["kind"], registry=registry
        )
        for kind in ERROR_KINDS:
            self.errors.labels(kind)
        self.requests = Counter(
            "http_requests", "Requests answered", ["route", "method", "status"], registry=registry
        )
        self.in_flight = Gauge(
            "requests_in_flight", "Requests being answered", multiprocess_mode="livesum", registry=registry
        )
        self.shed = Counter("requests_shed", "Requests refused for load", ["route"], registry=registry)
        self.sizes = Histogram(
            "prediction_batch_size",
            "Patients scored in one call of the graph",
            ["route"],
            buckets=SIZE_BUCKETS,
            registry=registry,
        )
        self.scores = Histogram(
            "prediction_score", "Risks that were returned", buckets=SCORE_BUCKETS, registry=registry
        )
        self._model_metrics()
        self._quality_metrics()
        self._log_metrics()
        if self.several_workers:
            self.memory: Gauge | None = Gauge(
                "process_resident_memory_bytes",
                "Resident memory of all workers",
                multiprocess_mode="livesum",
                registry=registry,
            )
        else:
            self.memory = None
            ProcessCollector(registry=registry)
            PlatformCollector(registry=registry)

    def _model_metrics(self) -> None:
        registry = self.registry
        self.model_info = Gauge(
            "model_info",
            "1 for the version that serves",
            ["model", "version", "candidate", "dataset", "schema_version", "source"],
            multiprocess_mode="livemostrecent",
            registry=registry,
        )
        self.model_loaded = Gauge(
            "model_loaded_timestamp_seconds",
            "Time at which the version began to serve",
            multiprocess_mode="livemostrecent",
            registry=registry,
        )
        self.model_created = Gauge(
            "model_created_timestamp_seconds",
            "Time at which the version was trained",
            multiprocess_mode="livemostrecent",
            registry=registry,
        )
        self.model_age = Gauge(
            "model_age_seconds",
            "Time since the version was trained",
            multiprocess_mode="livemostrecent",
            registry=registry,
        )
        self.test_auc = Gauge(
            "model_test_roc_auc",
            "ROC AUC that the version had on its test split, and the bounds of its interval",
            ["bound"],
            multiprocess_mode="livemostrecent",
            registry=registry,
        )
        self.ready = Gauge(
            "model_ready", "1 if a model serves", multiprocess_mode="livemin", registry=registry
        )
        self.refused = Gauge(
            "model_version_refused",
            "1 while the alias points to a version that was refused",
            multiprocess_mode="livemax",
            registry=registry,
        )
        self.pinned = Gauge(
            "model_pinned",
            "1 while a pin keeps trainings from replacing the version that serves",
            multiprocess_mode="livemostrecent",
            registry=registry,
        )
        self.reloads = Counter("model_reloads", "Checks of the alias", ["result"], registry=registry)
        for result in RESULTS:
            self.reloads.labels(result)

    def _quality_metrics(self) -> None:
        registry = self.registry
        self.drift = Gauge(
            "input_drift_psi",
            "Population stability index of a field against training, over the latest patients",
            ["field"],
            multiprocess_mode="livemostrecent",
            registry=registry,
        )
        self.score_drift = Gauge(
            "score_drift_psi",
            "Population stability index of the risks against validation, over the latest patients",
            multiprocess_mode="livemostrecent",
            registry=registry,
        )
        self.drift_rows = Gauge(
            "input_drift_window_rows",
            "Patients in the window that drift is measured over",
            multiprocess_mode="livesum",
            registry=registry,
        )
        self.shadow_predictions = Counter(
            "shadow_predictions",
            "Patients that the challenger scored in the shadow",
            ["version"],
            registry=registry,
        )
        self.shadow_difference = Histogram(
            "shadow_difference",
            "Absolute difference of the challenger's risk from production's",
            buckets=DIFFERENCE_BUCKETS,
            registry=registry,
        )
        self.shadow_disagreements = Counter(
            "shadow_disagreements", "Patients whose class the challenger would change", registry=registry
        )
        self.shadow_dropped = Counter(
            "shadow_dropped", "Patients that the challenger did not score", ["reason"], registry=registry
        )
        self.outcomes = Counter("outcomes", "Outcomes received", ["readmitted"], registry=registry)
        self.outcome_auc = Gauge(
            "outcome_roc_auc",
            "ROC AUC of the risks that the serving version answered, over the outcomes received",
            multiprocess_mode="livemostrecent",
            registry=registry,
        )
        self.outcome_auc_bound = Gauge(
            "outcome_roc_auc_bound",
            "Bounds of the 95 % interval of outcome_roc_auc; NaN for fewer than ten patients of a kind",
            ["bound"],
            multiprocess_mode="livemostrecent",
            registry=registry,
        )
        self.outcome_calibration = Gauge(
            "outcome_calibration",
            "Over the same outcomes: mean risk (expected), share readmitted (observed) and its 95 % interval",
            ["share"],
            multiprocess_mode="livemostrecent",
            registry=registry,
        )
        self.outcome_rows = Gauge(
            "outcome_roc_auc_rows",
            "Outcomes of the serving version behind outcome_roc_auc",
            multiprocess_mode="livemostrecent",
            registry=registry,
        )

    def _log_metrics(self) -> None:
        registry = self.registry
        self.log_written = Counter("prediction_log_written", "Rows of the prediction log", registry=registry)
        self.log_dropped = Counter(
            "prediction_log_dropped", "Predictions that the log lost", ["reason"], registry=registry
        )
        for reason in ("buffer_full", "shutdown"):
            self.log_dropped.labels(reason)
        self.log_failures = Counter(
            "prediction_log_failures", "Writes to the prediction log that failed", registry=registry
        )
        self.log_waiting = Gauge(
            "prediction_log_waiting",
            "Predictions that wait for the log in this process",
            multiprocess_mode="livesum",
            registry=registry,
        )
        self.spooled = Counter(
            "prediction_log_spooled",
            "Predictions put into the spool because the log could not be written",
            registry=registry,
        )
        self.spool_loaded = Counter(
            "prediction_log_spool_loaded", "Predictions loaded from the spool into the log", registry=registry
        )
        self.spool_failures = Counter(
            "prediction_log_spool_failures", "Reads and writes of the spool that failed", registry=registry
        )
        self.spool_refused = Counter(
            "prediction_log_spool_refused",
            "Slices of the spool that were set aside as damaged",
            registry=registry,
        )
        self.spool_bytes = Gauge(
            "prediction_log_spool_bytes",
            "Size of the predictions in the spool, compressed",
            multiprocess_mode="livemostrecent",
            registry=registry,
        )
        self.spool_limit_bytes = Gauge(
            "prediction_log_spool_limit_bytes",
            "Size that the spool may have",
            multiprocess_mode="livemostrecent",
            registry=registry,
        )

    def show_quality(self, quality: Quality) -> None:
        """Show how good the risks of the version that serves were."""
        self.outcome_auc.set(quality.auc)
        self.outcome_rows.set(quality.rows)
        for bound, value in (("low", quality.auc_low), ("high", quality.auc_high)):
            self.outcome_auc_bound.labels(bound).set(value)
        for share, value in (
            ("expected", quality.expected),
            ("observed", quality.observed),
            ("observed_low", quality.observed_low),
            ("observed_high", quality.observed_high),
        ):
            self.outcome_calibration.labels(share).set(value)

    def count_reload(self, reload: Reload) -> None:
        """Count a check of the alias."""
        self.reloads.labels(reload.result).inc()
        self.refused.set(reload.result in {"refused", "refused_before"})

    def exposition(self) -> bytes:
        """Return the text that Prometheus scrapes, summed over all workers."""
        if not self.several_workers:
            return generate_latest(self.registry)
        everything = CollectorRegistry()
        MultiProcessCollector(everything)  # type: ignore[no-untyped-call]
        return generate_latest(everything)

    def forget_dead_workers(self) -> None:
        """Remove the gauges of workers that have ended from the sums."""
        if not self.several_workers:
            return
        for file in Path(os.environ[MULTIPROCESS_DIR]).glob("gauge_live*_*.db"):
            pid = int(file.stem.rpartition("_")[2])
            if not Path(f"/proc/{pid}").exists():
                mark_process_dead(pid)  # type: ignore[no-untyped-call]


class VersionCounters:
    """The counters of one version, bound once: looking labels up costs more than counting."""

    def __init__(self, instruments: Instruments, predictor: Predictor) -> None:
        version = predictor.version.version
        self.by_class = tuple(instruments.predictions.labels(str(name), version) for name in (0, 1))
