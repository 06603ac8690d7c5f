"""Limit hits: one call counts the hit, marks the span, and sees to it that an event tells of it."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry._logs import SeverityNumber

from otel_dynabase.catalog.events import LIMIT_HIT
from otel_dynabase.catalog.metrics import LIMIT_HITS, LIMIT_QUEUE, REJECTIONS, SELF_EVENTS
from otel_dynabase.events import mark_span

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_dynabase.directory import Tenant
    from otel_dynabase.events import EventLog
    from otel_dynabase.probes.tenants import TenantSeries
    from otel_dynabase.store import Store


@dataclass(slots=True)
class _Burst:
    """Hits of one tenant, limit and action in quick succession: one event when the window closes."""

    tenant: Tenant
    limit_type: str
    action: str
    opened: float
    time_ns: int
    span: trace.SpanContext
    metadata: dict[str, Any]
    hits: int = 0
    queue_depth: int = 0
    waited: float | None = None

    def add(self, queue_depth: int, waited: float | None) -> None:
        """Take one more hit in: the deepest queue and the longest wait stand for the burst."""
        self.hits += 1
        self.queue_depth = max(self.queue_depth, queue_depth)
        if waited is not None:
            self.waited = max(self.waited or 0.0, waited)

    def attributes(self) -> dict[str, Any]:
        """Write the burst down as an event's attributes."""
        return {
            "limit_type": self.limit_type,
            "action": self.action,
            "hit_count": self.hits,
            "queue_depth": self.queue_depth,
            "rejection_count": self.hits if self.action == "rejected" else 0,
            "queue_duration_ms": None if self.waited is None else round(self.waited * 1000, 3),
        }


class Limits:
    """Where every limit hit goes."""

    def __init__(self, store: Store, events: EventLog, window: float, wake: Callable[[], None] = lambda: None) -> None:
        self._events = events
        self._window = window
        self._wake = wake
        self._coalesced = store.sum(SELF_EVENTS, ("coalesced",))
        self.after_fork()

    def after_fork(self) -> None:
        """Start empty: open bursts are the parent's."""
        self._lock = threading.Lock()
        self._bursts: dict[tuple[str, str, str], _Burst] = {}

    def hit(
        self,
        series: TenantSeries,
        limit_type: str,
        action: str,
        *,
        reason: str | None = None,
        queue_depth: int = 0,
        waited: float | None = None,
        pool_name: str | None = None,
    ) -> None:
        """Account for one hit; `reason` says why a connection was refused, `waited` is in seconds."""
        series.count(LIMIT_HITS, limit_type, action)
        if reason is not None:
            series.count(REJECTIONS, reason)
        key = (series.tenant.project_id, limit_type, action)
        with self._lock:
            burst = self._bursts.get(key)
            first = burst is None
            if burst is None:
                burst = self._bursts[key] = self._open(series, limit_type, action, pool_name)
            burst.add(queue_depth, waited)
        mark_span(LIMIT_HIT, {"limit_type": limit_type, "action": action, "queue_depth": queue_depth})
        if first:
            self._wake()
        else:
            self._coalesced.add()

    def reported(
        self,
        series: TenantSeries,
        limit_type: str,
        action: str,
        *,
        reason: str | None,
        queue_depth: int,
        waited: float | None,
    ) -> None:
        """Account for a hit of a limit that the platform itself enforces."""
        if waited is not None:
            series.record(LIMIT_QUEUE, waited, limit_type)
        self.hit(series, limit_type, action, reason=reason, queue_depth=queue_depth, waited=waited)

    @staticmethod
    def _open(series: TenantSeries, limit_type: str, action: str, pool_name: str | None) -> _Burst:
        metadata = {"database_type": "postgres"} | ({"pool_name": pool_name} if pool_name else {})
        span = trace.get_current_span().get_span_context()
        return _Burst(series.tenant, limit_type, action, time.monotonic(), time.time_ns(), span, metadata)

    @staticmethod
    def refused(series: TenantSeries, reason: str) -> None:
        """Account for a connection that was refused although no limit was hit."""
        series.count(REJECTIONS, reason)

    def flush(self, *, everything: bool = False) -> float:
        """Send the bursts whose window has closed; return the seconds until the next one closes."""
        now = time.monotonic()
        with self._lock:
            closed = [key for key, burst in self._bursts.items() if everything or now >= burst.opened + self._window]
            done = [self._bursts.pop(key) for key in closed]
            rest = min((burst.opened for burst in self._bursts.values()), default=float("inf"))
        for burst in done:
            rejected = burst.action == "rejected"
            self._events.emit(
                LIMIT_HIT,
                burst.tenant,
                burst.attributes(),
                metadata=burst.metadata,
                span=burst.span,
                time_ns=burst.time_ns,
                severity=SeverityNumber.WARN if rejected else SeverityNumber.INFO,
            )
        return rest + self._window - now
