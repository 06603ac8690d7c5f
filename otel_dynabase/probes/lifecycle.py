"""What happens to a tenant over time: its tier, its plan, its compute. Counter and event come from one call."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from otel_dynabase.catalog.events import PLAN_CHANGE, SCALED_TO_ZERO, TIER_TRANSITION
from otel_dynabase.catalog.metrics import PLAN_CHANGES, SCALE_TO_ZERO, TIER_TRANSITIONS
from otel_dynabase.events import mark_span

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_dynabase.events import EventLog
    from otel_dynabase.probes.tenants import TenantSeries
    from otel_dynabase.store import Store


class Lifecycle:
    """Where every change of a tenant goes. An event says of its tenant what is true after the change."""

    def __init__(self, store: Store, events: EventLog) -> None:
        self._store = store
        self._events = events

    def tier_changed(
        self,
        series: TenantSeries,
        source: str,
        target: str,
        reason: str,
        *,
        conditions: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        time_ns: int | None = None,
    ) -> None:
        """Account for a change of tier; `conditions` are what made the platform decide."""
        project, _tier, plan = series.labels
        self._store.sum(TIER_TRANSITIONS, (project, plan, source, target, reason)).add()
        told: dict[str, Any] = {"source_tier": source, "target_tier": target, "reason": reason}
        mark_span(TIER_TRANSITION, told)
        told |= {"trigger_conditions": dict(conditions or {}), "tier": target}
        self._events.emit(TIER_TRANSITION, series.tenant, told, metadata=metadata, time_ns=time_ns)

    def plan_changed(
        self,
        series: TenantSeries,
        source: str,
        target: str,
        change_type: str,
        *,
        effective: datetime | None = None,
        metadata: Mapping[str, Any] | None = None,
        time_ns: int | None = None,
    ) -> None:
        """Account for a change of plan, which takes effect at `effective`, or at once."""
        project = series.labels[0]
        self._store.sum(PLAN_CHANGES, (project, source, target, change_type)).add()
        told: dict[str, Any] = {"from_tier": source, "to_tier": target, "change_type": change_type}
        mark_span(PLAN_CHANGE, told)
        told |= {"effective_timestamp": iso(effective or datetime.now(UTC)), "plan": target}
        self._events.emit(PLAN_CHANGE, series.tenant, told, metadata=metadata, time_ns=time_ns)

    def scaled_to_zero(
        self,
        series: TenantSeries,
        reason: str,
        *,
        tier: str | None = None,
        idle: float | None = None,
        last_query: datetime | None = None,
        metadata: Mapping[str, Any] | None = None,
        time_ns: int | None = None,
    ) -> None:
        """Account for compute given up after `idle` seconds; `tier` is what it ran on, if the directory says COLD."""
        project, known, plan = series.labels
        self._store.sum(SCALE_TO_ZERO, (project, tier or known, plan, reason)).add()
        told: dict[str, Any] = {"reason": reason, "idle_duration_sec": idle}
        told["last_query_timestamp"] = None if last_query is None else iso(last_query)
        mark_span(SCALED_TO_ZERO, told)
        told["tier"] = tier or known
        self._events.emit(SCALED_TO_ZERO, series.tenant, told, metadata=metadata, time_ns=time_ns)


def iso(when: datetime) -> str:
    """Write a moment as the ticket does: 2025-11-21T20:45:32.123Z."""
    return when.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
