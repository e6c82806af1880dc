"""The metrics of the webhook."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, disable_created_metrics, generate_latest

RESULTS: Final = (
    "started",
    "ignored",
    "cooldown",
    "running",
    "airflow_away",
    "airflow_refused",
    "dag_paused",
    "state_broken",
)


class Metrics:
    """The counters of one app."""

    def __init__(self) -> None:
        # A timestamp for every counter would double the page; Prometheus detects resets without it.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        self.alerts = Counter(
            "retrain_alerts",
            "Alerts received, by whether they request a training now",
            ["asks"],
            registry=self._registry,
        )
        self.deliveries = Counter(
            "retrain_deliveries",
            "Deliveries of Alertmanager, by result",
            ["result"],
            registry=self._registry,
        )
        self.last_start = Gauge(
            "retrain_last_start_timestamp_seconds",
            "Time at which the last run was started; 0: never",
            registry=self._registry,
        )
        # Prometheus sees an increase only if the counter existed before.
        for asks in ("yes", "no"):
            self.alerts.labels(asks)
        for result in RESULTS:
            self.deliveries.labels(result)

    def exposition(self) -> bytes:
        """Return the text that Prometheus scrapes."""
        return generate_latest(self._registry)
