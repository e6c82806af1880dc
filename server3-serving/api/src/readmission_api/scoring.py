"""Single patients that wait for the model, scored together.

A call of the graph costs some 16 microseconds before the first row and 8 per row, so requests that arrive in
the same turn of the event loop share one call. No request waits for others to arrive: a turn's rows are
scored as soon as the loop has read what was there.
"""

import asyncio
from collections.abc import Callable, Sequence
from time import time
from typing import Final

from readmission_api.errors import OverloadedError
from readmission_api.metrics.instruments import Instruments, VersionCounters
from readmission_api.predictor.patients import Row
from readmission_api.predictor.predictor import Predictor
from readmission_api.scored import Scored

MAX_TOGETHER: Final = 64
"""Rows in one call of the graph: more would save little and keep the first one waiting."""


class Scoring:
    """Scores patients and passes them on to the metrics, the prediction log and the shadow."""

    def __init__(
        self, instruments: Instruments, *, max_queue: int, on_scored: Callable[[Scored], None]
    ) -> None:
        self._instruments = instruments
        self._max_queue = max_queue
        self._on_scored = on_scored
        self._waiting: list[tuple[Predictor, str, Row, asyncio.Future[float]]] = []
        self._counters: dict[Predictor, VersionCounters] = {}
        self._single_size = instruments.sizes.labels("/predict").observe
        self._batch_size = instruments.sizes.labels("/predict_batch").observe
        self._observe_score = instruments.scores.observe

    def one(self, predictor: Predictor, request_id: str, row: Row) -> "asyncio.Future[float]":
        """Return the future risk of one patient; raise `OverloadedError` if too many wait."""
        waiting = self._waiting
        if len(waiting) >= self._max_queue:
            raise OverloadedError
        loop = asyncio.get_running_loop()
        if not waiting:
            loop.call_soon(self._score_waiting)
        future: asyncio.Future[float] = loop.create_future()
        waiting.append((predictor, request_id, row, future))
        return future

    def many(
        self, predictor: Predictor, request_id: str, numbers: Sequence[int], rows: Sequence[Row]
    ) -> list[float]:
        """Return the risks of patients of one request. Blocks: not for the event loop."""
        risks = predictor.score(rows)
        self._batch_size(len(rows))
        self._pass_on(Scored(predictor, [request_id] * len(rows), numbers, rows, risks, time()))
        return risks

    def _score_waiting(self) -> None:
        waiting = self._waiting
        self._waiting = []
        for start in range(0, len(waiting), MAX_TOGETHER):
            together = waiting[start : start + MAX_TOGETHER]
            # Versions may have been swapped between two requests: the version that read a request scores it.
            for predictor in dict.fromkeys(entry[0] for entry in together):
                self._score_together(predictor, [entry for entry in together if entry[0] is predictor])

    def _score_together(
        self, predictor: Predictor, together: list[tuple[Predictor, str, Row, "asyncio.Future[float]"]]
    ) -> None:
        _, request_ids, rows, futures = zip(*together, strict=True)
        try:
            risks = predictor.score(rows)
        except Exception as error:  # noqa: BLE001 - the waiting requests must get any error
            for future in futures:
                if not future.done():
                    future.set_exception(error)
            return
        for future, risk in zip(futures, risks, strict=True):
            # A client that disconnected has cancelled its future.
            if not future.done():
                future.set_result(risk)
        # Responses come first: the waiting requests are called before this is.
        scored = Scored(predictor, request_ids, (0,) * len(rows), rows, risks, time())
        asyncio.get_running_loop().call_soon(self._pass_on_singles, scored)

    def _pass_on_singles(self, scored: Scored) -> None:
        self._single_size(len(scored.rows))
        self._pass_on(scored)

    def _pass_on(self, scored: Scored) -> None:
        predictor, risks = scored.predictor, scored.risks
        counters = self._counters.get(predictor)
        if counters is None:
            # Only the versions of the latest swaps are kept.
            self._counters = {
                predictor: (counters := VersionCounters(self._instruments, predictor)),
                **dict(list(self._counters.items())[:2]),
            }
        flagged = 0
        threshold = predictor.threshold
        for risk in risks:
            flagged += risk >= threshold
            self._observe_score(risk)
        if flagged:
            counters.by_class[1].inc(flagged)
        if flagged < len(risks):
            counters.by_class[0].inc(len(risks) - flagged)
        self._on_scored(scored)
