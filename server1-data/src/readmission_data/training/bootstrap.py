"""Bootstrap intervals: how much a metric would vary on other patients of the same kind.

Patients are drawn, not rows: encounters of one patient resemble each other, and drawing them separately would
make the interval too narrow (Field and Welsh, "Bootstrapping clustered data", 2007).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from readmission_data.training.metrics import METRICS, Array, Ranked, Resample

LEVEL: Final = 0.95
"""Coverage of every interval."""

# Resamples per chunk: [16, 15,000] doubles are 2 MB, which stay in a processor's cache.
_CHUNK: Final = 16


@dataclass(frozen=True, slots=True)
class Interval:
    """A value and its 95 % bootstrap interval."""

    value: float
    low: float
    high: float

    def as_change(self) -> str:
        """Return it as text, with signs: for a difference of two models."""
        return f"{self.value:+.4f} ({self.low:+.4f} to {self.high:+.4f})"


def resample_weights(n: int, clusters: Array | None, samples: int, seed: int) -> Iterator[Array]:
    """Yield weights of shape [chunk, n]: how often each row was drawn, clusters drawn with replacement.

    `clusters` (shape [n]) names each row's cluster, a patient; None draws rows.
    """
    rng = np.random.default_rng(seed)
    member = np.arange(n) if clusters is None else np.unique(clusters, return_inverse=True)[1]
    count = int(member.max()) + 1
    for start in range(0, samples, _CHUNK):
        rows = min(_CHUNK, samples - start)
        drawn = rng.integers(0, count, size=(rows, count))
        drawn += np.arange(rows)[:, None] * count
        counts = np.bincount(drawn.ravel(), minlength=rows * count).reshape(rows, count)
        yield counts[:, member].astype(np.float64)


def intervals(
    labels: Array,
    scores: Array,
    *,
    threshold: float,
    samples: int,
    seed: int,
    clusters: Array | None = None,
    names: Iterable[str] = METRICS,
) -> dict[str, Interval]:
    """Return the metrics called `names` with their intervals, for labels and probabilities of shape [n]."""
    ranked = Ranked(labels, scores)
    chosen = {name: METRICS[name] for name in names}
    whole = Resample(ranked, np.ones((1, len(ranked.labels))), threshold)
    drawn: dict[str, list[Array]] = {name: [] for name in chosen}
    for weights in resample_weights(len(ranked.labels), clusters, samples, seed):
        at = Resample(ranked, weights, threshold)
        for name, metric in chosen.items():
            drawn[name].append(metric(at))
    return {
        name: _interval(
            float(metric(whole)[0]), np.concatenate(drawn[name]), biased=name == "calibration_error"
        )
        for name, metric in chosen.items()
    }


def paired_bootstrap(
    labels: Array,
    scores_a: Array,
    scores_b: Array,
    metric: str = "average_precision",
    samples: int = 1_000,
    seed: int = 0,
    clusters: Array | None = None,
) -> Interval:
    """Return metric(a) - metric(b) on the same rows with its interval; the same draws serve both.

    An interval above zero means that `a` is better than `b` on such patients, no matter how difficult the
    rows are.
    """
    return paired_bootstraps(labels, scores_a, scores_b, (metric,), samples, seed, clusters)[metric]


def paired_bootstraps(
    labels: Array,
    scores_a: Array,
    scores_b: Array,
    metrics: Sequence[str],
    samples: int = 1_000,
    seed: int = 0,
    clusters: Array | None = None,
) -> dict[str, Interval]:
    """Return what `paired_bootstrap` returns, for several metrics on the same draws."""
    ranked_a, ranked_b = Ranked(labels, scores_a), Ranked(labels, scores_b)

    def differences(weights: Array) -> list[Array]:
        a, b = Resample(ranked_a, weights), Resample(ranked_b, weights)
        return [METRICS[metric](a) - METRICS[metric](b) for metric in metrics]

    n = len(ranked_a.labels)
    drawn = [differences(weights) for weights in resample_weights(n, clusters, samples, seed)]
    return {
        metric: _interval(float(value[0]), np.concatenate(found), biased=False)
        for metric, value, found in zip(
            metrics, differences(np.ones((1, n))), zip(*drawn, strict=True), strict=True
        )
    }


def _interval(value: float, drawn: Array, *, biased: bool) -> Interval:
    drawn = drawn[~np.isnan(drawn)]
    if np.isnan(value) or not len(drawn):
        return Interval(value, float("nan"), float("nan"))
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    if biased:
        # A sum of absolute gaps can only grow with noise, so its resamples are above the value. The basic
        # bootstrap turns that bias back (Davison and Hinkley 1997, section 5.2).
        low, high = max(0.0, 2 * value - high), max(0.0, 2 * value - low)
    return Interval(value, float(low), float(high))
