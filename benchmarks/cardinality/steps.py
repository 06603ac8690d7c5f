"""What Prometheus answers at every evaluation step of the run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from benchmarks.cardinality.load import SERVICE

if TYPE_CHECKING:
    from examples.stack.prometheus import Prometheus

STEP: Final = 5
"""Seconds between two evaluations."""
OURS: Final = f'{{job="{SERVICE}"}}'


class Steps:
    """Asks at every step from some seconds ago until now, in one query each."""

    def __init__(self, prometheus: Prometheus, end: float, seconds: float) -> None:
        self._prometheus = prometheus
        self._end = end
        self.seconds = int(seconds)

    def ask(self, promql: str, *labels: str) -> dict[tuple[str, ...], float]:
        """Return the values at the end, by these labels."""
        samples = self._prometheus.query(promql, at=self._end)
        return {tuple(sample.labels.get(label, "") for label in labels): sample.value for sample in samples}

    def over(self, function: str, promql: str, *labels: str) -> dict[tuple[str, ...], float]:
        """Return what a function over time makes of an expression's values at all steps."""
        return self.ask(f"{function}(({promql})[{self.seconds}s:{STEP}s])", *labels)

    def most_series(self) -> int:
        """Return the most series that the load had at one step, Prometheus' own target_info included."""
        return int(self.over("max_over_time", f"count({OURS})")[()])

    def most_named(self, counter: str) -> dict[str, int]:
        """Return the most tenants with a name at one step, by plan."""
        named = f'count by (plan) (count by (plan, project_id) ({counter}{{job="{SERVICE}", project_id!="_other"}}))'
        return {plan: int(count) for (plan,), count in self.over("max_over_time", named, "plan").items()}

    def gaps(self, counter: str) -> int:
        """Return at how many steps the sum of a plan that had been there was absent."""
        total = f"sum by (plan) ({counter}{OURS})"
        present = self.over("count_over_time", total, "plan")
        first = self.over("min_over_time", f"timestamp({total})", "plan")
        return sum(int(self._end // STEP - first[plan] // STEP) + 1 - int(count) for plan, count in present.items())

    def increases(self, counter: str) -> dict[str, float]:
        """Return a counter's increase over everything by plan, as Prometheus extrapolates it."""
        found = self.ask(f"sum by (plan) (increase({counter}{OURS}[{self.seconds}s]))", "plan")
        return {plan: value for (plan,), value in found.items()}

    def highest_rate(self, counter: str, window: int) -> dict[str, float]:
        """Return the highest rate of a plan, over windows of so many seconds, at any step."""
        rate = f"sum by (plan) (rate({counter}{OURS}[{window}s]))"
        return {plan: value for (plan,), value in self.over("max_over_time", rate, "plan").items()}
