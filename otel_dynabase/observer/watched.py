"""All that is known of one project's database: what was last seen, and what follows from it over time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otel_dynabase.observer.activity import HOUR, Hours, Minutes, Period
from otel_dynabase.observer.ceilings import Ceiling, Day
from otel_dynabase.observer.reading import Counters

if TYPE_CHECKING:
    from otel_dynabase.catalog.kinds import Metric


class Watched:
    """One project, from round to round. `now` and other times are the observer's clock, in unix seconds."""

    __slots__ = (
        *("ceilings", "counters", "day", "gauges", "hours"),
        *("labels", "minutes", "named", "period", "seen", "unreadable"),
    )

    def __init__(self, gap: float) -> None:
        self.counters: Counters | None = None
        """What was last read."""
        self.seen: float | None = None
        """When that was, or when the project was last known to be asleep."""
        self.hours = Hours()
        self.minutes = Minutes()
        self.period = Period(gap)
        self.day = Day()
        self.ceilings: dict[str, Ceiling] = {}
        self.gauges: dict[tuple[Metric, str | None], float] = {}
        """What is known now, by metric and the label beyond the tenant's own."""
        self.labels: tuple[str, str, str] = ("", "", "")
        self.named = False
        """Whether it has series of its own."""
        self.unreadable: frozenset[str] = frozenset()

    def window(self, now: float, blind: float) -> float | None:
        """Return since when the project was watched without a gap, or None: first seen, or the clock was set."""
        return self.seen if self.seen is not None and 0 < now - self.seen <= blind else None

    def mark_hours(self, shares: dict[int, int], now: float, *, since: float | None, running: bool) -> None:
        """Mark the hours of a time that was watched since then by the queries in each.

        Of a time that nobody watched, queries tell the hour only where it lies within one.
        """
        present = int(now // HOUR)
        if since is not None:
            for hour in range(int(since // HOUR), present):
                self.hours.mark(hour, active=hour in shares)
        certain = since is not None or (self.seen is not None and now >= self.seen and present == self.seen // HOUR)
        self.hours.mark(present, active=running or (certain and present in shares))

    def dump(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return {
            "counters": None if self.counters is None else list(self.counters),
            "seen": self.seen,
            "named": self.named,
            "hours": self.hours.dump(),
            "minutes": self.minutes.dump(),
            "period": self.period.dump(),
            "day": self.day.dump(),
            "ceilings": {resource: ceiling.dump() for resource, ceiling in self.ceilings.items()},
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take up what `dump` returned."""
        self.counters = None if state["counters"] is None else Counters(*state["counters"])
        self.seen, self.named = state["seen"], state["named"]
        self.hours.load(state["hours"])
        self.minutes.load(state["minutes"])
        self.period.load(state["period"])
        self.day.load(state["day"])
        for resource, dumped in state["ceilings"].items():
            self.ceilings.setdefault(resource, Ceiling()).load(dumped)
