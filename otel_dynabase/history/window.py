"""What is known of one tenant in a range of time: single events, counts that leave none out, and what was so when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from otel_dynabase.history.standing import PLAN, TIER, Span, Standing, spans, start

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from otel_dynabase.history.activity import Activity
    from otel_dynabase.history.stored import Stored


@dataclass(frozen=True, slots=True)
class Count:
    """How many events of a kind there were in one bin; `hits` is how many limit hits they stand for.

    `plan` and `tier` are what the first of them says of its tenant.
    """

    begin: int
    event_type: str
    limit_type: str
    action: str
    state: str
    events: int
    hits: int
    worst_wait_ms: float | None
    first_ns: int
    last_ns: int
    plan: str
    tier: str

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Count:
        """Take a row of the query `timeline_bins`."""
        return cls(**row)


@dataclass(frozen=True, slots=True)
class Window:
    """From `since` to `until` (unix seconds). `events` are the newest of each type, in order; `counts` are of all.

    `before` are the last changes of tier and plan before it.
    """

    project: str
    since: float
    until: float
    events: Sequence[Stored]
    counts: Sequence[Count]
    before: Sequence[Stored]
    activity: Activity

    def of(self, *event_types: str) -> list[Stored]:
        """Return the events of some types."""
        return [event for event in self.events if event.event_type in event_types]

    def counted(self, event_type: str) -> list[Count]:
        """Return the counts of a type."""
        return [count for count in self.counts if count.event_type == event_type]

    def total(self, event_type: str) -> int:
        """Return how many events of a type there were."""
        return sum(count.events for count in self.counted(event_type))

    def left_out(self) -> Iterator[tuple[str, int]]:
        """Yield the types of which older events are only counted, and how many those are."""
        for event_type in sorted({count.event_type for count in self.counts}):
            if older := self.total(event_type) - len(self.of(event_type)):
                yield event_type, older

    def tiers(self) -> list[Span]:
        """Return the tiers that the tenant had, in order, without a gap."""
        return self._spans(TIER)

    def plans(self) -> list[Span]:
        """Return the plans that the tenant had, in order, without a gap."""
        return self._spans(PLAN)

    def _spans(self, standing: Standing) -> list[Span]:
        changes = self.of(standing.event_type)
        earlier = next((event for event in self.before if event.event_type == standing.event_type), None)
        first = min(self.counts, key=lambda count: count.first_ns, default=None)
        begins = start(standing, earlier, changes, "" if first is None else getattr(first, standing.carried))
        if self.total(standing.event_type) > len(changes):  # what came before those that are left is not known here
            begins = earlier = None
        return spans(standing, begins, earlier, changes, since=self.since, until=self.until)
