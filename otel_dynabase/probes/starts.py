"""Cold starts that are told: each counted once, whether a client saw it, the platform reported it, or both did."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from opentelemetry import trace

from otel_dynabase.catalog.attributes import UNKNOWN
from otel_dynabase.catalog.events import COLD_START
from otel_dynabase.catalog.metrics import COLD_START_DURATION, COLD_STARTS, FIRST_QUERY

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otel_dynabase.events import EventLog, Record
    from otel_dynabase.probes.tenants import TenantSeries
    from otel_dynabase.store import Store

JOINED = 60.0
"""Seconds within which what a client saw and what the platform reported of one project is one start."""
REMEMBERED = 10_000
"""Tenants remembered at once; the oldest is forgotten first."""


@dataclass(slots=True)
class View:
    """What one side knows of a start. Durations in seconds; None where it does not know."""

    source_tier: str
    duration: float
    first_query: float | None = None
    cache_level: str | None = None
    phases: Mapping[str, float] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    time_ns: int = field(default_factory=time.time_ns)
    span: trace.SpanContext = field(default_factory=lambda: trace.get_current_span().get_span_context())


@dataclass(slots=True)
class _Told:
    """A start that was counted, by whose view it was, and what its event says."""

    by: str
    at: float
    view: View
    record: Record | None


class Starts:
    """Counts a start when the first of both sides tells of it; the other's view is added to the same event.

    The event is emitted again then, under the same id: storage keeps the later one.
    """

    def __init__(
        self,
        store: Store,
        events: EventLog,
        *,
        by_client: bool = True,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._store = store
        self._events = events
        self._by_client = by_client
        """Whether a client's own view counts; else only what the platform reports."""
        self._clock = clock
        self.after_fork()

    def after_fork(self) -> None:
        """Start empty."""
        self._lock = threading.RLock()
        self._told: dict[str, _Told] = {}

    def seen(self, series: TenantSeries, view: View) -> None:
        """Take a start that a client of the database saw."""
        if view.first_query is not None:
            series.record(FIRST_QUERY, view.first_query)
        if self._by_client or self._recent(series, "platform") is not None:
            self._tell(series, view, "client")

    def reported(self, series: TenantSeries, view: View) -> None:
        """Take a start that the platform reports."""
        if view.first_query is not None:
            series.record(FIRST_QUERY, view.first_query)
        self._tell(series, view, "platform")

    def _recent(self, series: TenantSeries, by: str) -> _Told | None:
        """Return the start of this tenant that the other side has told of just now."""
        told = self._told.get(series.tenant.project_id)
        return told if told is not None and told.by == by and self._clock() - told.at <= JOINED else None

    def _tell(self, series: TenantSeries, view: View, by: str) -> None:
        project_id = series.tenant.project_id
        with self._lock:
            other = self._recent(series, "client" if by == "platform" else "platform")
            if other is not None:
                del self._told[project_id]
        if other is not None:
            self._emit(series, joined(other.view, view), other.record)
            return
        project, _tier, plan = series.labels
        self._store.sum(COLD_STARTS, (project, plan, view.source_tier)).add()
        level = view.cache_level or UNKNOWN
        self._store.distribution(COLD_START_DURATION, (project, plan, level)).record(view.duration)
        record = self._emit(series, view)
        with self._lock:
            while len(self._told) >= REMEMBERED:
                self._told.pop(next(iter(self._told)))
            self._told[project_id] = _Told(by, self._clock(), view, record)

    def _emit(self, series: TenantSeries, view: View, amends: Record | None = None) -> Record | None:
        return self._events.emit(
            COLD_START,
            series.tenant,
            {
                "source_tier": view.source_tier,
                "cache_level": view.cache_level or UNKNOWN,
                "startup_duration_ms": milliseconds(view.duration),
                "first_query_latency_ms": None if view.first_query is None else milliseconds(view.first_query),
                "phases": {name: milliseconds(seconds) for name, seconds in view.phases.items()} or None,
            },
            metadata={"database_type": "postgres", **view.metadata},
            span=view.span,
            time_ns=view.time_ns,
            amends=amends,
        )


def joined(first: View, other: View) -> View:
    """Add what the other side knows to a view, whose duration, time and place were counted and stay."""
    return View(
        first.source_tier,
        first.duration,
        first_query=other.first_query if first.first_query is None else first.first_query,
        cache_level=first.cache_level or other.cache_level,
        phases={**other.phases, **first.phases},
        metadata={**other.metadata, **first.metadata},
        time_ns=first.time_ns,
        span=first.span if first.span.is_valid else other.span,
    )


def milliseconds(duration: float) -> float:
    """Return seconds as milliseconds, to the microsecond."""
    return round(duration * 1000, 3)
