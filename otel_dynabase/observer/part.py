"""What the observer is made of: parts that ask the outside world, and account for what they heard."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from otel_dynabase.catalog.kinds import Key, Metric
    from otel_dynabase.directory import Tenant

Observation: TypeAlias = "tuple[Metric, Key, float]"
"""One value of a gauge: as `Store.observe` wants it."""


class Part(Protocol):
    """One thing that the observer looks at, round after round.

    A round: `gather` of all parts at the same time; then, in one critical section in which no metric reader collects
    and no event leaves, `apply` of all parts; then everything (the store's totals, each part's `dump`, the events that
    have not arrived) is saved at once, and only then may anybody see it. So after a crash at any point the next process
    goes on from the last thing that anybody saw.

    For that a part changes series, emits events and changes what it dumps nowhere but in `apply`, which does no I/O.
    It is given the store and the event log when it is made.
    """

    name: str
    """Under which its state is kept and its failures are counted: one word, for good."""

    async def gather(self, tenants: Mapping[str, Tenant]) -> Any:
        """Ask the outside world; may take its time and may fail; changes nothing. `tenants` is by project_id."""
        ...

    def apply(self, gathered: Any, tenants: Mapping[str, Tenant], now: float) -> None:
        """Account for an answer: update series and own state, emit events; `now` in unix seconds.

        Not called in a round in which `gather` failed. What it raises undoes the whole round: store, parts and events
        go back to what was saved last.
        """
        ...

    def observe(self) -> Iterator[Observation]:
        """Give the gauges as they are: asked at collection, on the collecting thread, never during `apply`."""
        ...

    def dump(self) -> Any:
        """Return the state that must survive a restart: what JSON can hold, with text for keys."""
        ...

    def load(self, state: Any) -> None:
        """Take up a state that `dump` returned, once, before the first round; the store has its totals by then."""
        ...
