"""The part that measures each project's database: activity, queries, resources, and use against the plan's limits."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Final

from otel_dynabase.catalog.attributes import OTHER_PROJECT
from otel_dynabase.catalog.events import CEILING_HIT
from otel_dynabase.catalog.metrics import (
    ACTIVE_HOURS,
    ACTIVITY_PERIODS,
    ACTIVITY_STATE,
    CEILING_HITS,
    CPU_USAGE,
    IO_BYTES,
    MEMORY_USAGE,
    QUERIES_BY_HOUR,
    QUERY_RATE,
    SELF_ASKED_IN_VAIN,
    SELF_BREAKS,
    SELF_UNREADABLE,
)
from otel_dynabase.observer.activity import MINUTE, by_hour
from otel_dynabase.observer.asking import Answers, Asking
from otel_dynabase.observer.ceilings import Ceiling, Limits, larger_plan
from otel_dynabase.observer.reading import since, tried_in_vain
from otel_dynabase.observer.watched import Watched

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Iterator, Mapping

    from otel_dynabase.directory import Tenant
    from otel_dynabase.events import EventLog
    from otel_dynabase.observer.part import Observation
    from otel_dynabase.observer.reading import Reading, Usage
    from otel_dynabase.observer.settings import ObserverConfig
    from otel_dynabase.store import Budget, Store

IDLE, ACTIVE, DRAINING = 0, 1, 2
MISSED: Final = 4
"""Looks at a database in a row after whose loss the time between was not watched."""
SHORTEST_BLIND: Final = 120.0
"""Seconds of not looking that count as watched in any case."""


class UsagePart:
    """Asks every server that is due, and accounts for what its databases used."""

    name = "usage"

    def __init__(
        self,
        store: Store,
        events: EventLog,
        config: ObserverConfig,
        *,
        limits: Limits,
        budget: Budget,
        pattern: re.Pattern[str] | None = None,
        quiet: Callable[[], AbstractContextManager[None]] = nullcontext,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._events = events
        self._config = config
        self._limits = limits
        self._budget = budget
        self._quiet = quiet
        self._asking = Asking(config, pattern, clock)
        self._blind = max(SHORTEST_BLIND, MISSED * config.observe_usage_interval)
        self._watched: dict[str, Watched] = {}
        self._unreadable: dict[str, int] = {}

    async def gather(self, tenants: Mapping[str, Tenant]) -> Answers:
        """Ask the servers that are due."""
        with self._quiet():
            return await self._asking.gather(tenants)

    def apply(self, gathered: Answers, tenants: Mapping[str, Tenant], now: float) -> None:
        """Account for a round."""
        self._count_failures(gathered)
        found = self._asking.sort(gathered, tenants)
        self._watched = {project: self._watched[project] for project in tenants if project in self._watched}
        for project, tenant in tenants.items():
            if project in found.readings:
                watched = self._watch(tenant)
                answer = found.answers[project]
                watched.unreadable = (watched.unreadable - answer.asked - {"database"}) | answer.unreadable.keys()
                self._take(watched, tenant, found.readings[project], now)
            elif project in gathered.asleep:
                self._rest(self._watch(tenant), now)
            elif project in self._watched:
                self._miss(self._watch(tenant), now, silent=project in found.silent, lost=project in found.lost)
        self._count_unreadable(tenants if gathered.names else {})

    def _count_failures(self, gathered: Answers) -> None:
        reasons = [asked.failure for asked in gathered.asked if asked.answer is None]
        for reason in (*reasons, *["late"] * gathered.late, *["settings"] * (gathered.failed is not None)):
            self._store.sum(SELF_ASKED_IN_VAIN, (reason,)).add()

    def _watch(self, tenant: Tenant) -> Watched:
        watched = self._watched.get(tenant.project_id)
        if watched is None:
            watched = self._watched[tenant.project_id] = Watched(self._config.observe_quiet_gap)
        named = watched.named = self._budget.admit(tenant.project_id)
        watched.labels = (tenant.project_id if named else OTHER_PROJECT, tenant.tier, tenant.plan)
        return watched

    def _count_unreadable(self, tenants: Mapping[str, Tenant]) -> None:
        counts: dict[str, int] = {}
        for project in tenants:
            watched = self._watched.get(project)
            for what in ("database",) if watched is None else watched.unreadable:
                counts[what] = counts.get(what, 0) + 1
        self._unreadable = counts

    def _miss(self, watched: Watched, now: float, *, silent: bool, lost: bool) -> None:
        """Account for a project without a reading: it was not its turn, its server was silent, or it is not there."""
        if silent or lost:
            watched.gauges.clear()
        if lost:
            watched.unreadable = frozenset({"database"})
        if silent and watched.counters is not None and watched.counters.own:
            watched.counters = tried_in_vain(watched.counters, self._config.observe_timeout)
        self._period(watched, now)

    def _rest(self, watched: Watched, now: float) -> None:
        """Account for a project that is asleep: nothing is asked, and nothing happens there."""
        watched.seen = now
        watched.gauges = {(ACTIVITY_STATE, None): IDLE}
        watched.mark_hours({}, now, since=None, running=False)
        self._period(watched, now)

    def _take(self, watched: Watched, tenant: Tenant, reading: Reading, now: float) -> None:
        """Account for a reading of a project's database."""
        window, before, started = watched.window(now, self._blind), watched.counters, watched.seen
        usage, watched.counters, why = (None, reading.counters, None)
        if before is not None:
            usage, watched.counters, why = since(before, reading.counters)
        if why is not None:
            self._store.sum(SELF_BREAKS, (why,)).add()
        shares = self._count(watched, usage, now if started is None else started, now)
        queries = None if usage is None or window is None else usage.queries
        active = bool(queries or reading.running) if (queries, reading.running) != (None, None) else None
        if active is not None:
            watched.mark_hours(
                shares, now, since=window if queries is not None else None, running=bool(reading.running)
            )
        self._period(watched, now, (now if window is None else window) if active else None)
        watched.seen = now
        self._show(watched, reading, usage, active=active)
        self._judge(watched, tenant, reading, usage, (now if started is None else started, now))
        if queries is not None and window is not None:
            for sample in watched.minutes.add(queries, window, now):
                self._store.distribution(QUERY_RATE, watched.labels).record(sample)
                self._measured(
                    watched, tenant, "query_rate", sample, now, every=max(MINUTE, self._config.observe_usage_interval)
                )

    def _count(self, watched: Watched, usage: Usage | None, start: float, now: float) -> dict[int, int]:
        """Count what was used; return the queries by hour."""
        if usage is None:
            return {}
        self._store.sum(IO_BYTES, (*watched.labels, "read")).add(usage.read)
        self._store.sum(IO_BYTES, (*watched.labels, "write")).add(usage.written)
        shares = by_hour(usage.queries or 0, start, now)
        for hour, queries in shares.items():
            self._store.sum(QUERIES_BY_HOUR, (*watched.labels, str(hour % 24))).add(queries)
        return shares

    def _period(self, watched: Watched, now: float, active_since: float | None = None) -> None:
        ended = watched.period.look(now, active_since)
        if ended is not None:
            project, _tier, plan = watched.labels
            self._store.sum(ACTIVITY_PERIODS, (project, plan, ended)).add()

    def _show(self, watched: Watched, reading: Reading, usage: Usage | None, *, active: bool | None) -> None:
        """Set the gauges to what is known now."""
        gauges = watched.gauges
        for metric in (ACTIVITY_STATE, CPU_USAGE):
            gauges.pop((metric, None), None)
        if reading.draining or (active is not None and reading.draining is not None):
            gauges[ACTIVITY_STATE, None] = DRAINING if reading.draining else int(bool(active))
        if usage is not None and usage.executing is not None and 0 < usage.elapsed <= self._blind:
            share = usage.executing / usage.elapsed
            gauges[CPU_USAGE, None] = 1000 * (share if usage.most_clients is None else min(share, usage.most_clients))
        gauges.pop((MEMORY_USAGE, "work_mem"), None)
        if reading.private is not None:
            gauges[MEMORY_USAGE, "work_mem"] = reading.private
        if reading.buffers is not None:
            gauges[MEMORY_USAGE, "shared_buffers"] = reading.buffers
        elif "buffers" in watched.unreadable:
            gauges.pop((MEMORY_USAGE, "shared_buffers"), None)

    def _judge(
        self, watched: Watched, tenant: Tenant, reading: Reading, usage: Usage | None, window: tuple[float, float]
    ) -> None:
        """Hold what is used against what the plan grants."""
        every, now = self._config.observe_usage_interval, window[1]
        if reading.counters.clients is not None:
            self._measured(watched, tenant, "connections", reading.counters.clients, now, every=every)
        if reading.size is not None:
            self._measured(watched, tenant, "storage", reading.size, now, every=self._config.observe_size_interval)
        if usage is not None and usage.executing is not None:
            seconds = watched.day.add(usage.executing, *window)
            self._measured(watched, tenant, "compute_time", seconds, now, every=every)

    def _measured(
        self, watched: Watched, tenant: Tenant, resource: str, used: float, now: float, *, every: float
    ) -> None:
        limit = self._limits.get(tenant.plan, {}).get(resource)
        if limit is None:
            watched.ceilings.pop(resource, None)
            return
        ceiling = watched.ceilings.setdefault(resource, Ceiling())
        blind = max(SHORTEST_BLIND, MISSED * every)
        hit = ceiling.measured(used / limit, now, sustained=self._config.observe_ceiling_after, blind=blind)
        if hit is None:
            return
        self._store.sum(CEILING_HITS, (*watched.labels, resource)).add()
        larger = larger_plan(self._limits, tenant.plan, resource)
        self._events.emit(
            CEILING_HIT,
            tenant,
            {"resource_type": resource, "hit_count_24h": hit.in_24h, "upgrade_suggested": larger is not None},
            metadata={"used": used, "limit": limit, "stayed_sec": round(hit.stayed, 3), "larger_plan": larger},
            time_ns=int(now * 1e9),
        )

    def observe(self) -> Iterator[Observation]:
        """Give the gauges as they are."""
        for watched in self._watched.values():
            for (metric, label), value in watched.gauges.items():
                yield metric, (watched.labels if label is None else (*watched.labels, label)), value
            per_day = watched.hours.per_day()
            if per_day is not None and watched.gauges:
                yield ACTIVE_HOURS, (watched.labels[0], watched.labels[2]), per_day
        for what, count in self._unreadable.items():
            yield SELF_UNREADABLE, (what,), count

    def dump(self) -> Any:
        """Return the state of every project."""
        return {project: watched.dump() for project, watched in self._watched.items()}

    def load(self, state: Any) -> None:
        """Take up a state that `dump` returned, instead of what there is."""
        self._watched = {}
        for project, dumped in state.items():
            self._watched[project] = watched = Watched(self._config.observe_quiet_gap)
            watched.load(dumped)
            if watched.named:
                self._budget.admit(project)
