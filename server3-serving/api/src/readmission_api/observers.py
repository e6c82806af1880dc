"""Those who are told of every scored patient: drift, the challenger in the shadow, the prediction log."""

import time
from datetime import datetime

from readmission_api.metrics.instruments import Instruments
from readmission_api.model_store.store import ModelStore, Reload, Serving
from readmission_api.scoring import Scored


class Observers:
    """Passes scored patients on. None of them may block or fail a request."""

    def __init__(self, instruments: Instruments) -> None:
        self._instruments = instruments
        self._shown: tuple[str, ...] | None = None
        self.in_flight = 0

    def scored(self, scored: Scored) -> None:
        """Take in scored patients, from any thread."""

    def log_state(self) -> str:
        """Say how the prediction log fares: off, ok or failing."""
        return "off"

    def update_gauges(self, store: ModelStore) -> None:
        """Bring the gauges up to date, before a scrape."""
        instruments = self._instruments
        instruments.in_flight.set(self.in_flight)
        serving = store.serving
        instruments.ready.set(1 if serving else 0)
        if serving:
            self._show_model(serving)

    def reloaded(self, reload: Reload) -> None:
        """Count a look at the alias."""
        self._instruments.reloads.labels(reload.result).inc()
        self._instruments.refused.set(reload.result in {"refused", "refused_before"})

    def _show_model(self, serving: Serving) -> None:
        instruments = self._instruments
        version, schema = serving.predictor.version, serving.predictor.schema
        labels = (
            version.model,
            version.version,
            schema.candidate,
            schema.dataset.kind,
            schema.schema_version,
            serving.source,
        )
        if self._shown != labels:
            if self._shown:
                instruments.model_info.labels(*self._shown).set(0)
            instruments.model_info.labels(*labels).set(1)
            self._shown = labels
            instruments.model_loaded.set(serving.since.timestamp())
        created = datetime.fromisoformat(schema.created).timestamp()
        instruments.model_created.set(created)
        instruments.model_age.set(time.time() - created)
