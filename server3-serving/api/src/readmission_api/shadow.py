"""The challenger, which scores the same patients in the background."""

import threading
from collections.abc import Sequence
from typing import Final

import numpy as np

from readmission_api.logs import logger
from readmission_api.metrics.instruments import Instruments
from readmission_api.model_store.store import ModelStore
from readmission_api.predictor.patients import Row
from readmission_api.predictor.predictor import Predictor
from readmission_api.scored import Scored, ScoredQueue

_TURN_SECONDS: Final = 0.2


class Shadow:
    """A thread that scores the patients of production, up to a limit per second."""

    def __init__(self, store: ModelStore, instruments: Instruments, *, rows_per_second: int) -> None:
        self._store = store
        self._instruments = instruments
        self._rows_a_turn = max(1, int(rows_per_second * _TURN_SECONDS))
        self._queue = ScoredQueue(max(self._rows_a_turn * 2, 256))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)
        self._sampled = instruments.shadow_dropped.labels("sampled")
        self._unfit = instruments.shadow_dropped.labels("unfit")

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread, and drop the patients that wait."""
        self._stop.set()
        self._thread.join(timeout=5)

    def offer(self, scored: Scored) -> None:
        """Accept scored patients; patients above the rate are counted and skipped."""
        if self._store.challenger is not None and (left := len(scored.rows) - self._queue.offer(scored)):
            self._sampled.inc(left)

    def _run(self) -> None:
        while not self._stop.wait(_TURN_SECONDS):
            challenger = self._store.challenger
            taken = self._queue.take(self._rows_a_turn)
            if challenger is None:
                continue
            for scored in taken:
                try:
                    self._compare(challenger, scored)
                except Exception as error:  # noqa: BLE001 - the next challenger may do better
                    self._unfit.inc(len(scored.rows))
                    # Only its name: the message may repeat a patient's values.
                    logger.warning("the challenger can't score (%s)", type(error).__name__)

    def _compare(self, challenger: Predictor, scored: Scored) -> None:
        rows = rows_for(challenger, scored.predictor, scored.rows)
        if not rows:
            self._unfit.inc(len(scored.rows))
            return
        theirs = np.array(challenger.score(rows))
        ours = np.array(scored.risks)
        for difference in np.abs(theirs - ours).tolist():
            self._instruments.shadow_difference.observe(difference)
        changed = (theirs >= challenger.threshold) != (ours >= scored.predictor.threshold)
        self._instruments.shadow_disagreements.inc(int(changed.sum()))
        self._instruments.shadow_predictions.labels(challenger.version.version).inc(len(rows))


def rows_for(challenger: Predictor, production: Predictor, rows: Sequence[Row]) -> list[Row]:
    """Return rows in the challenger's order of fields, or none if a field is missing or of another kind."""
    ours, theirs = production.patients.columns, challenger.patients.columns
    if ours == theirs:
        return list(rows)
    place = {field: index for index, field in enumerate(ours)}
    if any(field not in place for field in theirs):
        return []
    order = [place[field] for field in theirs]
    return [tuple([row[index] for index in order]) for row in rows]
