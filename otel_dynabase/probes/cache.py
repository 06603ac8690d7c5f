"""The platform's caches: which level answered, how fast, what it holds of a tenant, what it gave up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry._logs import SeverityNumber

from otel_dynabase.catalog.events import CACHE_ALERT
from otel_dynabase.catalog.metrics import CACHE_EVICTIONS, CACHE_HITS, CACHE_LATENCY, CACHE_MEMORY
from otel_dynabase.events import mark_span

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from otel_dynabase.catalog.kinds import Key, Metric
    from otel_dynabase.events import EventLog
    from otel_dynabase.probes.tenants import Tenants, TenantSeries
    from otel_dynabase.store import Store

REMEMBERED = 100_000
"""Tenants and levels whose memory is known at once; the oldest is forgotten first."""


class Caches:
    """Where what the platform says of its caches goes."""

    def __init__(self, store: Store, events: EventLog, tenants: Tenants) -> None:
        self._store = store
        self._events = events
        self._tenants = tenants
        self.after_fork()

    def after_fork(self) -> None:
        """Forget the parent's caches."""
        self._memory: dict[tuple[str, str], int] = {}

    def accessed(self, series: TenantSeries, level: str, latency: float) -> None:
        """Account for one access that `level` answered in `latency` seconds."""
        key = (*series.labels, level)
        self._store.sum(CACHE_HITS, key).add()
        self._store.distribution(CACHE_LATENCY, key).record(latency)

    def holds(self, series: TenantSeries, level: str, size: int) -> None:
        """Take note of the bytes that a level holds for a tenant."""
        known = (series.tenant.project_id, level)
        if known not in self._memory and len(self._memory) >= REMEMBERED:
            self._memory.pop(next(iter(self._memory)), None)
        self._memory[known] = size

    def evicted(self, series: TenantSeries, level: str, reason: str, count: int) -> None:
        """Account for entries that a level gave up."""
        self._store.sum(CACHE_EVICTIONS, (*series.labels, level, reason)).add(count)

    def alert(
        self,
        series: TenantSeries,
        level: str,
        hit_rate: float,
        expected_rate: float,
        *,
        metadata: Mapping[str, Any] | None = None,
        time_ns: int | None = None,
    ) -> None:
        """Tell of a hit rate that is not what was expected, both as shares."""
        told = {
            "cache_level": level,
            "hit_rate": hit_rate,
            "expected_rate": expected_rate,
            "deviation": round(hit_rate - expected_rate, 6),
        }
        mark_span(CACHE_ALERT, told)
        self._events.emit(
            CACHE_ALERT, series.tenant, told, metadata=metadata, time_ns=time_ns, severity=SeverityNumber.WARN
        )

    def observe(self) -> Iterator[tuple[Metric, Key, float]]:
        """Read what every level holds for every tenant, under the labels that the tenant has now."""
        for (project_id, level), size in list(self._memory.items()):
            yield CACHE_MEMORY, (*self._tenants.of(project_id).labels, level), size
