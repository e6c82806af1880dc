"""The counts of a replay, and its final table."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

_MILLISECONDS: Final = 1_000


@dataclass
class Counts:
    """The results of requests and outcomes; `seconds` is how long patients were sent."""

    sent: int = 0
    answered: int = 0
    flagged: int = 0
    readmitted: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    versions: Counter[str] = field(default_factory=Counter)
    outcomes_recorded: int = 0
    outcomes_unknown: int = 0
    outcomes_unsent: int = 0
    outcomes_failed: Counter[str] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    seconds: float = 0.0

    def summary(self) -> dict[str, Any]:
        """Return everything as values for JSON."""
        p50, p99 = (
            (round(float(q) * _MILLISECONDS, 1) for q in np.quantile(self.latencies, (0.5, 0.99)))
            if self.latencies
            else (None, None)
        )
        return {
            "sent": self.sent,
            "answered": self.answered,
            "refused": dict(self.refused),
            "failed": dict(self.failed),
            "flagged": self.flagged,
            "readmitted": self.readmitted,
            "versions": dict(self.versions),
            "outcomes": {
                "recorded": self.outcomes_recorded,
                "unknown": self.outcomes_unknown,
                "unsent": self.outcomes_unsent,
                "failed": dict(self.outcomes_failed),
            },
            "seconds": round(self.seconds, 1),
            "rate": round(self.sent / self.seconds, 1) if self.seconds else None,
            "latency_ms": {"p50": p50, "p99": p99},
        }


def table(summary: dict[str, Any]) -> str:
    """Return the summary as lines of two columns."""
    answered = max(summary["answered"], 1)
    outcomes, latency = summary["outcomes"], summary["latency_ms"]
    told = (
        f"{outcomes['recorded']:,} recorded, {outcomes['unknown']:,} unknown to the API, "
        f"{outcomes['unsent']:,} not sent, {sum(outcomes['failed'].values()):,} failed"
    )
    rows = [
        ("sent", f"{summary['sent']:,} in {summary['seconds']} s, {summary['rate'] or 0} a second"),
        ("answered", f"{summary['answered']:,}{_by(summary['versions'], 'version ')}"),
        ("refused", f"{sum(summary['refused'].values()):,}{_by(summary['refused'])}"),
        ("failed", f"{sum(summary['failed'].values()):,}{_by(summary['failed'])}"),
        ("flagged", f"{summary['flagged']:,} ({summary['flagged'] / answered:.1%} of the answered)"),
        ("came back", f"{summary['readmitted']:,} ({summary['readmitted'] / answered:.1%} of the answered)"),
        ("outcomes", told + _by(outcomes["failed"])),
        ("latency", f"p50 {latency['p50']} ms, p99 {latency['p99']} ms" if latency["p50"] else "-"),
    ]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def _by(counts: dict[str, int], prefix: str = "") -> str:
    if not counts:
        return ""
    return " (" + ", ".join(f"{prefix}{name}: {count:,}" for name, count in sorted(counts.items())) + ")"
