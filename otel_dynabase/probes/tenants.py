"""Bound series: a tenant's accumulators, looked up once and kept until the directory changes."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

from otel_dynabase.catalog.attributes import OTHER_PROJECT, PLAN, PROJECT, TIER
from otel_dynabase.catalog.kinds import Counter
from otel_dynabase.catalog.metrics import (
    CONNECTION_CREATE,
    CONNECTION_TIMEOUTS,
    CONNECTION_USE,
    CONNECTION_WAIT,
    IDLE_DURATION,
    METRICS,
)
from otel_dynabase.directory import NOBODY
from otel_dynabase.directory.tenant import RESERVED
from otel_dynabase.tenant import current_project

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_dynabase.catalog.kinds import Histogram, Key, Metric, Value
    from otel_dynabase.directory import Directory, Tenant
    from otel_dynabase.store import Budget, Distribution, Store, Sum

BORN = tuple(metric for metric in METRICS if isinstance(metric, Counter) and metric.born_for)
"""Counters whose series must be there before the first increment."""


class PoolSeries:
    """Where one tenant's use of one pool goes."""

    __slots__ = ("create", "timeouts", "use", "wait")

    def __init__(self, store: Store, labels: tuple[Value, ...], pool_name: str) -> None:
        key = (*labels, pool_name)
        self.wait: Distribution = store.distribution(CONNECTION_WAIT, key)
        self.create: Distribution = store.distribution(CONNECTION_CREATE, key)
        self.use: Distribution = store.distribution(CONNECTION_USE, key)
        self.timeouts: Sum = store.sum(CONNECTION_TIMEOUTS, key)


class TenantSeries:
    """One tenant as it is measured: who it is, under which labels, and its bound series."""

    __slots__ = ("_idle", "_store", "labels", "last", "pools", "statements", "tenant")

    def __init__(self, store: Store, tenant: Tenant, project_label: str) -> None:
        self._store = store
        self.tenant = tenant
        self.labels: tuple[str, str, str] = (project_label, tenant.tier, tenant.plan)
        self.statements: dict[str, Any] = {}
        """By operation, bound by `probes.statement`."""
        self.pools: dict[str, PoolSeries] = {}
        self.last = 0.0
        """When its last statement ended, on `perf_counter`; 0 before the first."""
        self._idle: Distribution | None = None

    def ran(self, began: float, ended: float) -> None:
        """Note a statement, and the time that none ran before it; both in seconds on `perf_counter`."""
        if 0 < self.last < began:
            idle = self._idle
            if idle is None:
                idle = self._idle = self._store.distribution(IDLE_DURATION, self.labels)
            idle.record(began - self.last)
        self.last = ended

    def pool(self, pool_name: str) -> PoolSeries:
        """Return the series of one pool."""
        found = self.pools.get(pool_name)
        if found is None:
            found = self.pools[pool_name] = PoolSeries(self._store, self.labels, pool_name)
        return found

    def count(self, metric: Counter, *rest: Value) -> None:
        """Add one to a counter whose labels begin with project, tier and plan; for facts that are rare."""
        self._store.sum(metric, (*self.labels, *rest)).add()

    def record(self, metric: Histogram, value: float, *rest: Value) -> None:
        """Record into a histogram whose labels begin with project, tier and plan; for facts that are rare."""
        self._store.distribution(metric, (*self.labels, *rest)).record(value)


class Tenants:
    """Finds a tenant's series by project, by database, or by what the current task works for.

    At most `budget` tenants are named; the others share one set of series per plan and tier under `_other`, so that
    memory does not grow with the number of tenants and every sum by plan, tier and outcome stays exact.
    """

    def __init__(self, store: Store, directory: Directory, budget: Budget) -> None:
        self.store = store
        self._directory = directory
        self._budget = budget
        self.generation = 0
        """Changes whenever a tenant may have: what was bound before then must be looked up again."""
        self._named: dict[str, TenantSeries] = {}
        self._folded: dict[tuple[str, str], TenantSeries] = {}
        self._databases: dict[str, str | None] = {}

    def refresh(self) -> None:
        """Bind anew: the directory has changed."""
        self._named, self._databases = {}, {}
        self.generation += 1

    def of(self, project_id: str) -> TenantSeries:
        """Return a project's series."""
        return self._named.get(project_id) or self._bind(project_id)

    def current(self) -> TenantSeries:
        """Return the series of the tenant that the current task works for; `unknown` where nobody said."""
        project = current_project()
        return self.of(NOBODY.project_id if project is None else project)

    def project_of(self, database: str | None) -> str | None:
        """Return the project that a database belongs to, or None."""
        if database is None:
            return None
        databases = self._databases  # the one of this moment: a refresh in between must not get a stale answer
        try:
            return databases[database]
        except KeyError:
            project = self._directory.project_of(database)
            if len(databases) < MAX_DATABASES:
                databases[database] = project
            return project

    def _bind(self, project_id: str) -> TenantSeries:
        bound = self._named  # the one of this moment: a refresh in between must not get a stale answer
        tenant = NOBODY if project_id == NOBODY.project_id else self._directory.get(project_id)
        if tenant is NOBODY or self._budget.admit(project_id):
            named = bound[project_id] = TenantSeries(self.store, tenant, tenant.project_id)
            self._give_birth(tenant)
            return named
        return _Folded(self._shared(tenant), tenant)

    def _give_birth(self, tenant: Tenant) -> None:
        """Have a tenant's series at 0 where an alert waits for the first increment."""
        for metric in BORN:
            if tenant.plan in metric.born_for:
                for key in _keys(metric, tenant):
                    self.store.sum(metric, key)

    def _shared(self, tenant: Tenant) -> TenantSeries:
        group = (tenant.tier, tenant.plan)
        shared = self._folded.get(group)
        if shared is None:
            shared = self._folded[group] = TenantSeries(self.store, tenant, OTHER_PROJECT)
        return shared


class _Folded(TenantSeries):
    """A tenant beyond the budget: its own identity for events, the shared series for numbers."""

    __slots__ = ()

    def __init__(self, shared: TenantSeries, tenant: Tenant) -> None:
        self._store = shared._store
        self.tenant = tenant
        self.labels = shared.labels
        self.statements = {}  # each knows its tenant; the accumulators beneath are the shared ones all the same
        self.pools = shared.pools
        self.last = 0.0
        self._idle = None


def is_outdated(metric: Metric, key: Key, tenant: Tenant | None) -> bool:
    """Say whether a series with this key is not the tenant's any more: it is gone, or its plan or tier is another.

    A series of nobody's, or of several tenants, is never outdated.
    """
    if metric.key[:1] != (PROJECT,) or key[0] in RESERVED:
        return False
    if tenant is None:
        return True
    now = {PLAN: tenant.plan, TIER: tenant.tier}
    return any(now.get(label, value) != value for label, value in zip(metric.key, key, strict=True))


def _keys(metric: Counter, tenant: Tenant) -> Iterator[Key]:
    """Return the keys that a tenant's series of a counter may have."""
    own = {PROJECT: (tenant.project_id,), TIER: (tenant.tier,), PLAN: (tenant.plan,)}
    return product(*(own.get(label, label.values) for label in metric.key))


MAX_DATABASES = 100_000
"""Databases whose project is remembered; beyond them it is asked for each time."""
