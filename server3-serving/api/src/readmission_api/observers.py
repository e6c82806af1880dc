"""The observers of every scored patient: drift, the challenger in the shadow, the prediction log."""

import math
import resource
import sys
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import Final

from sqlalchemy import Engine

from readmission_api.errors import PredictionLogError
from readmission_api.logs import logger
from readmission_api.metrics.drift import DriftWindow
from readmission_api.metrics.instruments import Instruments
from readmission_api.metrics.outcome_quality import Quality
from readmission_api.model_store.store import ModelStore, Serving
from readmission_api.prediction_log import outcomes
from readmission_api.prediction_log.spool import Spool
from readmission_api.prediction_log.tables import connect
from readmission_api.prediction_log.writer import PredictionWriter
from readmission_api.scored import Scored
from readmission_api.settings import ApiSettings
from readmission_api.shadow import Shadow
from readmission_api.shared_files import SharedFiles

_FLUSH_SECONDS: Final = 5.0


class Observers:
    """Passes scored patients to the observers. No observer may block or fail a request."""

    def __init__(self, settings: ApiSettings, store: ModelStore, instruments: Instruments) -> None:
        self.in_flight = 0
        self.engine: Engine | None = None
        self.writer: PredictionWriter | None = None
        self._store = store
        self._instruments = instruments
        self._shown: tuple[str, ...] | None = None
        self._measured: object = None
        self._measuring = threading.Lock()
        self._drifting: set[str] = set()
        self._drift = DriftWindow(settings.drift_window, settings.drift_minimum)
        self._shadow = (
            Shadow(store, instruments, rows_per_second=settings.shadow_rows_per_second)
            if settings.shadow
            else None
        )
        if settings.prediction_log_url is not None:
            self.engine = connect(settings.prediction_log_url.get_secret_value())
            spool = (
                Spool(SharedFiles(settings.shared_files_url), instruments, limit_bytes=settings.spool_bytes)
                if settings.shared_files_url
                else None
            )
            self.writer = PredictionWriter(
                self.engine, spool, instruments, buffer=settings.prediction_log_buffer
            )
        instruments.score_drift.set(math.nan)
        instruments.show_quality(Quality(0))

    def start(self) -> None:
        """Start the threads."""
        if self._shadow:
            self._shadow.start()
        if self.writer:
            self.writer.start()

    def stop(self) -> None:
        """Write everything that waits and end the threads. Blocks."""
        if self._shadow:
            self._shadow.stop()
        if self.writer:
            self.writer.stop(_FLUSH_SECONDS)

    def scored(self, scored: Scored) -> None:
        """Accept scored patients, from any thread."""
        self._drift.take_in(scored)
        if self._shadow:
            self._shadow.offer(scored)
        if self.writer:
            self.writer.offer(scored)

    def log_state(self) -> str:
        """Return the state of the prediction log: off, ok or failing."""
        return self.writer.state if self.writer else "off"

    def update_quality(self) -> None:
        """Measure the serving version's quality in production if there are new outcomes. Blocks."""
        serving = self._store.serving
        if self.engine is None or serving is None:
            return
        version = serving.predictor.version
        # One at a time, so that an older reading cannot overwrite a newer one.
        with self._measuring:
            try:
                known = (version, outcomes.newest(self.engine))
                if known == self._measured:
                    return
                quality = outcomes.quality(self.engine, version)
            except PredictionLogError as error:
                logger.warning("%s", error)
                return
            self._measured = known
            self._instruments.show_quality(quality)

    def update_gauges(self) -> None:
        """Update the gauges before a scrape. Takes about 20 ms: do not call it in the event loop."""
        instruments = self._instruments
        instruments.in_flight.set(self.in_flight)
        if self.writer:
            instruments.log_waiting.set(self.writer.waiting())
        if instruments.memory is not None:
            instruments.memory.set(resident_bytes())
        serving = self._store.serving
        instruments.ready.set(1 if serving else 0)
        instruments.pinned.set(1 if self._store.pin else 0)
        if serving:
            self._show_model(serving)
        fields, scores = self._drift.measure()
        instruments.drift_rows.set(len(self._drift))
        # A version's last figures say nothing about the next one, which has too few patients so far.
        for name in self._drifting - fields.keys():
            instruments.drift.labels(name).set(math.nan)
        for name, index in fields.items():
            instruments.drift.labels(name).set(index)
        self._drifting |= fields.keys()
        instruments.score_drift.set(math.nan if scores is None else scores)

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
            for bound, value in schema.test_roc_auc().items():
                instruments.test_auc.labels(bound).set(value)
            self._shown = labels
        instruments.model_loaded.set(serving.since.timestamp())
        created = datetime.fromisoformat(schema.created).timestamp()
        instruments.model_created.set(created)
        instruments.model_age.set(time.time() - created)


def resident_bytes() -> int:
    """Return the memory that this process uses now (or its peak, if the system does not report it)."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
    return pages * resource.getpagesize()
