"""What a version's contract adds to one risk: its interval, and warnings of contradictory values."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from readmission_api.predictor.schema import Contradiction, RiskIntervals

_REMEMBERED: Final = 10_000
"""Combinations of values whose warnings are kept: most patients share a few."""


class Intervals:
    """The interval of each risk, interpolated in the contract's table."""

    def __init__(self, table: RiskIntervals) -> None:
        self._risk, self._low, self._high = table.risk, table.low, table.high
        self._last = len(table.risk) - 1

    def of(self, risk: float) -> tuple[float, float]:
        """Return the low and the high end; the risk lies between them."""
        right = bisect_right(self._risk, risk)
        if right == 0:
            low, high = self._low[0], self._high[0]
        elif right > self._last:
            low, high = self._low[-1], self._high[-1]
        else:
            left = right - 1
            part = (risk - self._risk[left]) / (self._risk[right] - self._risk[left])
            low = self._low[left] + part * (self._low[right] - self._low[left])
            high = self._high[left] + part * (self._high[right] - self._high[left])
        return min(low, risk), max(high, risk)


class Contradictions:
    """Finds values that do not fit together in the rows of one version."""

    def __init__(self, contradictions: Sequence[Contradiction], place: Mapping[str, int]) -> None:
        self._rules = [
            (
                [
                    ([place[name] for name in condition.fields], frozenset(condition.levels))
                    for condition in contradiction.when
                ],
                contradiction.message.get("en", "These values contradict each other."),
            )
            for contradiction in contradictions
        ]
        self._involved = sorted(
            {index for when, _ in self._rules for indexes, _ in when for index in indexes}
        )
        self._found: dict[tuple[Any, ...], tuple[str, ...]] = {}

    def of(self, row: Sequence[Any]) -> tuple[str, ...]:
        """Return the messages of the contradictions in a row, in English, in the contract's order."""
        if not self._rules:
            return ()
        values = tuple([row[index] for index in self._involved])
        found = self._found.get(values)
        if found is None:
            found = tuple(
                message
                for when, message in self._rules
                if all(any(row[index] in levels for index in indexes) for indexes, levels in when)
            )
            if len(self._found) >= _REMEMBERED:
                self._found.clear()
            self._found[values] = found
        return found


class Remarks:
    """Both, for the answers of one version."""

    def __init__(
        self,
        intervals: RiskIntervals | None,
        contradictions: Sequence[Contradiction],
        place: Mapping[str, int],
    ) -> None:
        self.intervals = Intervals(intervals) if intervals else None
        self.contradictions = Contradictions(contradictions, place) if contradictions else None
        self._level = msgspec.json.encode(intervals.level) if intervals else b""

    def members(self, row: Sequence[Any], risk: float) -> dict[str, msgspec.Raw]:
        """Return the members `interval` and `warnings` of an answer, if there are any."""
        return msgspec.json.decode(b"{%b}" % self.json(row, risk)[1:], type=dict[str, msgspec.Raw])

    def json(self, row: Sequence[Any], risk: float) -> bytes:
        """Return the members `interval` and `warnings` of an answer, each after a comma, if there are any."""
        part = b""
        if self.intervals:
            part = b',"interval":{"low":%.9g,"high":%.9g,"level":%b}' % (
                *self.intervals.of(risk),
                self._level,
            )
        if self.contradictions and (warnings := self.contradictions.of(row)):
            part += b',"warnings":%b' % msgspec.json.encode(warnings)
        return part
