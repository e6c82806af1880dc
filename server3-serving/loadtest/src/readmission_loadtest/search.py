"""The search for the highest sustained load: increase by a factor, then bisect."""

from dataclasses import dataclass, field
from math import ceil


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a sustained load: /predict's 95th percentile in milliseconds and the failure share."""

    p95_ms: float
    failures: float


@dataclass(frozen=True, slots=True)
class Step:
    """The measurements of one step with `users` users; times in milliseconds, of /predict only."""

    users: int
    seconds: float
    requests: int
    failed: int
    p50_ms: float
    p95_ms: float
    p99_ms: float

    @property
    def rate(self) -> float:
        """Requests per second, of every kind."""
        return self.requests / self.seconds

    def holds(self, limits: Limits) -> bool:
        """Return whether the load was sustained; a step without requests was not."""
        return (
            self.requests > 0
            and self.failed <= limits.failures * self.requests
            and self.p95_ms <= limits.p95_ms
        )


@dataclass
class Search:
    """The choice of the next load. `users` is None when the search has ended."""

    limits: Limits
    users: int | None
    most_users: int
    growth: float
    refinements: int
    steps: list[Step] = field(default_factory=list)
    _refused: int | None = None

    def record(self, step: Step) -> None:
        """Record the figures of a step, and set `users` for the next one."""
        self.steps.append(step)
        if not step.holds(self.limits):
            self._refused = step.users
        if self._refused is None:
            higher = min(ceil(step.users * self.growth), self.most_users)
            self.users = higher if higher > step.users else None
        else:
            self.users = self._between(self._refused)

    def _between(self, refused: int) -> int | None:
        held = self.best
        low = held.users if held else 0
        middle = (low + refused) // 2
        if self.refinements == 0 or middle in {low, refused}:
            return None
        self.refinements -= 1
        return middle

    @property
    def best(self) -> Step | None:
        """The sustained step with the most users."""
        held = [step for step in self.steps if step.holds(self.limits)]
        return max(held, key=lambda step: step.users, default=None)
