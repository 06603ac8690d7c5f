"""Pools: what is known of each, and what it looks like now. One `PoolProbe` a pool, which dies with it."""

from __future__ import annotations

import threading
import weakref
from time import perf_counter
from typing import TYPE_CHECKING, Any

from otel_dynabase import faults
from otel_dynabase.catalog.metrics import (
    ACTIVE_CONNECTIONS,
    CONNECTION_COUNT,
    CONNECTION_IDLE_MAX,
    CONNECTION_IDLE_MIN,
    CONNECTION_MAX,
    CONNECTION_PENDING,
    ERRORS,
    POOL_SIZE,
    QUEUE_DEPTH,
)
from otel_dynabase.probes.failures import AUTHENTICATION, TOO_MANY_CONNECTIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_dynabase.catalog.kinds import Key, Metric
    from otel_dynabase.probes.acquire import Wait
    from otel_dynabase.probes.coldstart import ColdStarts
    from otel_dynabase.probes.failures import Failure
    from otel_dynabase.probes.limits import Limits
    from otel_dynabase.probes.statement import StatementSeries
    from otel_dynabase.probes.tenants import Tenants, TenantSeries

    Observation = tuple[Metric, Key, float]


class PoolProbe:
    """What is known of one pool. The pool owns it; nothing here keeps a pool alive."""

    __slots__ = (
        *("__weakref__", "_bound", "_generation", "_idle", "_project", "_tenants"),
        *("database", "disappointed", "failure", "held", "max_idle", "max_size", "min_size", "name", "pools", "queue"),
        *("statements", "waits"),
    )

    def __init__(
        self,
        pools: Pools,
        *,
        name: str,
        database: str | None,
        min_size: int,
        max_size: int | None,
        idle: Callable[[], int],
        max_idle: int | None = None,
        project: str | None = None,
    ) -> None:
        self.name = name
        self.database = database
        self.min_size = min_size
        self.max_size = max_size
        """None if there is no limit."""
        self.max_idle = max_size if max_idle is None else max_idle
        self.pools = pools
        self.waits: dict[Wait, None] = {}
        """Acquires under way, queueing or connecting; like all dictionaries here changed by any thread, in one step."""
        self.queue: dict[Wait, None] = {}
        """Those that found no place and wait for their turn."""
        self.held: dict[object, tuple[TenantSeries, float]] = {}
        """Connections that are out: for whom, and since when."""
        self.failure: Failure | None = None
        """Why the pool's own workers cannot connect, since they last could."""
        self.disappointed: dict[str, TenantSeries] = {}
        """Tenants who waited in vain because of that: the next connection ends their wait, even if none is there."""
        self.statements: dict[str, StatementSeries] = {}
        """Where statements go, by their text, while the pool is one tenant's: one look instead of four."""
        self._idle = idle
        self._project = project
        self._tenants = pools.tenants
        self._bound: TenantSeries | None = None
        self._generation = -1

    @property
    def pending(self) -> int:
        """Acquires under way."""
        return len(self.waits)

    def bind(self, project_id: str) -> None:
        """Say that this pool is one tenant's."""
        self._project = project_id
        self.stale()

    def stale(self) -> None:
        """Find out anew whose pool this is, and which series its statements have."""
        self._generation, self.statements = -1, {}

    def own_series(self) -> TenantSeries | None:
        """Return the series of the tenant whose pool this is; None if many tenants share it."""
        if self._generation != self._tenants.generation:
            generation, self.statements = self._tenants.generation, {}
            project = self._project or self._tenants.project_of(self.database)
            self._bound = None if project is None else self._tenants.of(project)
            self._generation = generation
        return self._bound

    def series(self) -> TenantSeries:
        """Return the series of whoever uses the pool now: the pool's tenant, or the current task's."""
        if self._bound is not None and self._generation == self._tenants.generation:
            return self._bound
        return self.own_series() or self._tenants.current()

    def returned(self, handle: object) -> None:
        """Note that it came back, however that came about."""
        taken = self.held.pop(handle, None)
        if taken is not None:
            series, since = taken
            pool = series.pools.get(self.name) or series.pool(self.name)
            pool.use.record(perf_counter() - since)

    def observe(self) -> Iterator[Observation]:
        """Read the pool's state; called at collection, on the collecting thread."""
        own = self.own_series()
        labels = (None, None, None) if own is None else own.labels
        shared_name = self.name if own is None else None
        before, held, queue = self._idle(), list(self.held.values()), list(self.queue)
        idle = min(before, self._idle())  # what is taken or comes back meanwhile is not counted on both sides
        for state, count in (("idle", idle), ("used", len(held))):
            yield CONNECTION_COUNT, (*labels, self.name, state), count
            yield POOL_SIZE, (*labels, state, shared_name), count
        if self.max_size is not None:
            yield CONNECTION_MAX, (*labels, self.name), self.max_size
        if self.max_idle is not None:
            yield CONNECTION_IDLE_MAX, (*labels, self.name), self.max_idle
        yield CONNECTION_IDLE_MIN, (*labels, self.name), self.min_size
        yield CONNECTION_PENDING, (*labels, self.name), self.pending
        if own is not None:
            yield ACTIVE_CONNECTIONS, own.labels, 0
            yield QUEUE_DEPTH, own.labels, 0
        for series, _since in held:
            yield ACTIVE_CONNECTIONS, series.labels, 1
        for wait in queue:
            yield QUEUE_DEPTH, wait.series.labels, 1


class Pools:
    """All pools of this process that are open."""

    def __init__(self, tenants: Tenants, limits: Limits, cold_starts: ColdStarts) -> None:
        self.tenants = tenants
        self.limits = limits
        self.cold_starts = cold_starts
        self.after_fork()
        self._owners: weakref.WeakKeyDictionary[Any, PoolProbe] = weakref.WeakKeyDictionary()

    def owns(self, probe: PoolProbe, connection: Any) -> None:
        """Note that a driver's connection is a pool's of another library: what runs on it is that pool's work."""
        try:
            self._owners[connection] = probe
        except TypeError:  # cannot be weakly referenced: of no driver that is measured
            pass

    def owner(self, connection: Any) -> PoolProbe | None:
        """Return the pool of another library that a driver's connection belongs to, or None."""
        return self._owners.get(connection)

    def series_of(self, connection: Any) -> TenantSeries | None:
        """Return the series of the tenant whose pool, another library's, a driver's connection belongs to; or None."""
        owner = self._owners.get(connection)
        return None if owner is None else owner.own_series()

    def connect_failed(
        self, series: TenantSeries, failure: Failure, began: float, pool_name: str | None = None
    ) -> None:
        """Account for somebody's connection that could not be made."""
        series.count(ERRORS, failure.kind)
        if failure.state == TOO_MANY_CONNECTIONS:
            self.limits.hit(series, "max_concurrent", "rejected", reason="tier_limit_exceeded", pool_name=pool_name)
        elif failure.state in AUTHENTICATION:
            self.limits.refused(series, "auth_failure")
        if failure.absent:
            self.cold_starts.absent(series, began)

    def opened(self, probe: PoolProbe) -> None:
        """Show a pool's state from now on."""
        with self._lock:
            self._live.add(probe)

    def closed(self, probe: PoolProbe) -> None:
        """Stop showing it."""
        with self._lock:
            self._live.discard(probe)

    def _open(self) -> list[PoolProbe]:
        with self._lock:
            return list(self._live)

    def refresh(self) -> None:
        """Bind anew: the directory has changed."""
        self.tenants.refresh()
        for probe in self._open():
            probe.stale()

    def after_fork(self) -> None:
        """Forget the parent's pools: their connections are not the child's."""
        self._live: weakref.WeakSet[PoolProbe] = weakref.WeakSet()
        self._lock = threading.RLock()  # a collection inside it may finalize a pool, and so come here

    def observe(self) -> Iterator[Observation]:
        """Read every pool's state."""
        for probe in self._open():
            try:
                yield from list(probe.observe())
            except Exception:  # one pool must not hide the others
                faults.ignore("observing a pool")
