"""Facts become measurements here: the adapters say what happened, and know neither metrics nor OpenTelemetry."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

from otel_dynabase.catalog.metrics import SELF_REPORTS
from otel_dynabase.probes.breaker import Breakers
from otel_dynabase.probes.cache import Caches
from otel_dynabase.probes.coldstart import ColdStarts
from otel_dynabase.probes.cost import QueryCosts
from otel_dynabase.probes.lifecycle import Lifecycle
from otel_dynabase.probes.limits import Limits
from otel_dynabase.probes.pool import Pools
from otel_dynabase.probes.starts import Starts
from otel_dynabase.probes.statement import Statements
from otel_dynabase.probes.tenants import Tenants

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from otel_dynabase.directory import Directory
    from otel_dynabase.events import EventLog
    from otel_dynabase.store import Budget, Store, Sum


class Probes:
    """All probes of this process."""

    def __init__(
        self,
        store: Store,
        events: EventLog,
        directory: Directory,
        budget: Budget,
        *,
        window: float,
        cold_starts_by_client: bool = True,
        wake: Callable[[], None] = lambda: None,
        cost_sample: int = 0,
        quiet: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._store = store
        self.tenants = Tenants(store, directory, budget)
        self.limits = Limits(store, events, window, wake)
        self.starts = Starts(store, events, by_client=cold_starts_by_client)
        self.cold_starts = ColdStarts(self.starts, wake)
        self.pools = Pools(self.tenants, self.limits, self.cold_starts)
        self.statements = Statements(store, self.limits, self.cold_starts)
        self.lifecycle = Lifecycle(store, events)
        self.caches = Caches(store, events, self.tenants)
        self.breakers = Breakers(store, events, self.tenants)
        self.costs = QueryCosts(store, self.tenants, cost_sample, quiet=quiet) if cost_sample else None
        store.observe(self.pools.observe)
        store.observe(self.breakers.observe)
        store.observe(self.caches.observe)

    def after_fork(self) -> None:
        """Forget what belongs to the parent."""
        self.limits.after_fork()
        self.starts.after_fork()
        self.cold_starts.after_fork()
        self.pools.after_fork()
        self.breakers.after_fork()
        if self.costs is not None:
            self.costs.after_fork()
        self.caches.after_fork()

    def reports(self, name: str, outcome: str) -> Sum:
        """Return where reports of one kind are counted."""
        return self._store.sum(SELF_REPORTS, (name, outcome))

    def flush(self, *, everything: bool = False) -> float:
        """Send what waited long enough; return the seconds until there is more."""
        return min(self.limits.flush(everything=everything), self.cold_starts.flush(everything=everything))
