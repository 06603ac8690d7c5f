"""What only the platform's own code knows: one typed call for each fact, which records the metrics and emits the event.

    from otel_dynabase import report

    report.tier_transition("proj_abc123", source="WARM", target="HOT", reason="automatic_promotion",
                           trigger_conditions={"query_count_4h": 145, "uptime_hours": 4.2})

Nothing here raises or waits. Arguments are typed, so that a type checker refuses wrong ones; at run time they are
refused with one warning for each mistake, and counted (`otel_dynabase.reports`). A report that comes before the process
is instrumented waits for that. Plan and tier labels come from the directory. Durations are float seconds, moments are
aware datetimes (`datetime.now(UTC)`); `at` is when it happened, if that is not now.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from otel_dynabase.probes.starts import View
from otel_dynabase.report.arguments import (
    Count,
    Facts,
    Moment,
    Number,
    Phases,
    Project,
    Seconds,
    Share,
    Text,
    nanoseconds,
    reported,
)

if TYPE_CHECKING:
    from otel_dynabase.probes.inbox import Tell

__all__ = [
    "cache_access",
    "cache_efficiency",
    "cache_eviction",
    "cache_memory",
    "circuit_breaker",
    "cold_start",
    "limit_hit",
    "plan_change",
    "scale_to_zero",
    "tier_transition",
]

Tier: TypeAlias = Literal["COLD", "WARM", "HOT", "PERSISTENT"]
Plan: TypeAlias = Literal["free", "starter", "pro", "enterprise"]
Transition: TypeAlias = Literal[
    "automatic_promotion", "automatic_demotion", "manual_upgrade", "manual_downgrade", "scale_to_zero"
]
Change: TypeAlias = Literal["upgrade", "downgrade", "trial_conversion", "cancellation"]
ScaleReason: TypeAlias = Literal["idle_timeout", "manual", "cost_optimization"]
SourceTier: TypeAlias = Literal["COLD", "WARM"]
StartCache: TypeAlias = Literal["L1_miss", "L2_hit", "L3_hit"]
LimitType: TypeAlias = Literal["max_pool_size", "max_concurrent", "query_timeout", "connection_timeout"]
Action: TypeAlias = Literal["queued", "rejected", "throttled"]
Rejection: TypeAlias = Literal["tier_limit_exceeded", "circuit_open", "pool_exhausted", "auth_failure"]
BreakerState: TypeAlias = Literal["closed", "half_open", "open"]
Cache: TypeAlias = Literal["L1", "L2", "L3", "L4_miss"]
Eviction: TypeAlias = Literal["lru", "tier_demotion", "memory_pressure"]


@reported
def tier_transition(
    project_id: Project,
    *,
    source: Tier,
    target: Tier,
    reason: Transition,
    trigger_conditions: Facts | None = None,
    metadata: Facts | None = None,
    at: Moment | None = None,
) -> Tell:
    """Report that a tenant's compute tier changed. `trigger_conditions` are what made the platform decide."""
    return lambda to: to.lifecycle.tier_changed(
        to.tenants.of(project_id),
        source,
        target,
        reason,
        conditions=trigger_conditions,
        metadata=metadata,
        time_ns=nanoseconds(at),
    )


@reported
def plan_change(
    project_id: Project,
    *,
    source: Plan,
    target: Plan,
    change_type: Change,
    effective: Moment | None = None,
    metadata: Facts | None = None,
    at: Moment | None = None,
) -> Tell:
    """Report that a tenant changed its subscription, as of `effective` if that is not now."""
    return lambda to: to.lifecycle.plan_changed(
        to.tenants.of(project_id),
        source,
        target,
        change_type,
        effective=effective,
        metadata=metadata,
        time_ns=nanoseconds(at),
    )


@reported
def scale_to_zero(
    project_id: Project,
    *,
    reason: ScaleReason,
    tier: Tier | None = None,
    idle_duration: Seconds | None = None,
    last_query: Moment | None = None,
    metadata: Facts | None = None,
    at: Moment | None = None,
) -> Tell:
    """Report that a tenant's compute was given up. `tier` is what it ran on, if the directory may have moved on."""
    return lambda to: to.lifecycle.scaled_to_zero(
        to.tenants.of(project_id),
        reason,
        tier=tier,
        idle=idle_duration,
        last_query=last_query,
        metadata=metadata,
        time_ns=nanoseconds(at),
    )


@reported
def cold_start(
    project_id: Project,
    *,
    duration: Seconds,
    cache_level: StartCache | None = None,
    source_tier: SourceTier = "COLD",
    phases: Phases | None = None,
    first_query: Seconds | None = None,
    metadata: Facts | None = None,
    at: Moment | None = None,
) -> Tell:
    """Report that a tenant's compute was started. `phases` are its parts (basebackup, start, …), in seconds.

    If this process has just seen the same start as a client of the database, both are one start. Where the clients are
    other processes, have those leave the counting to the platform: OTEL_DYNABASE_COLD_STARTS=report.
    """
    view = View(source_tier, duration, first_query, cache_level, phases or {}, metadata or {})
    view.time_ns = nanoseconds(at) or view.time_ns
    return lambda to: to.cold_starts.reported(to.tenants.of(project_id), view)


@reported
def limit_hit(
    project_id: Project,
    *,
    limit_type: LimitType,
    action: Action,
    rejection: Rejection | None = None,
    queue_depth: Count = 0,
    waited: Seconds | None = None,
) -> Tell:
    """Report that a limit which the platform itself enforces made a request wait or fail.

    `rejection` says why a connection was refused, `waited` how long the request queued.
    """
    return lambda to: to.limits.reported(
        to.tenants.of(project_id), limit_type, action, reason=rejection, queue_depth=queue_depth, waited=waited
    )


@reported
def circuit_breaker(
    project_id: Project,
    *,
    state: BreakerState,
    name: Text = "database",
    error_threshold: Number | None = None,
    volume: Count | None = None,
    metadata: Facts | None = None,
    at: Moment | None = None,
) -> Tell:
    """Report what a circuit breaker does now; saying the same again changes nothing.

    `name` tells a tenant's breakers apart, `error_threshold` is what it opens at, `volume` how many calls it judged.
    """
    return lambda to: to.breakers.changed(
        to.tenants.of(project_id),
        name,
        state,
        error_threshold=error_threshold,
        volume=volume,
        metadata=metadata,
        time_ns=nanoseconds(at),
    )


@reported
def cache_access(project_id: Project, *, level: Cache, latency: Seconds) -> Tell:
    """Report one access to the platform's caches, by the level that answered; `L4_miss` if none did."""
    return lambda to: to.caches.accessed(to.tenants.of(project_id), level, latency)


@reported
def cache_memory(project_id: Project, *, level: Cache, size: Count) -> Tell:
    """Report the bytes that a cache holds for a tenant now."""
    return lambda to: to.caches.holds(to.tenants.of(project_id), level, size)


@reported
def cache_eviction(project_id: Project, *, level: Cache, reason: Eviction, count: Count = 1) -> Tell:
    """Report entries of a tenant's that a cache gave up."""
    return lambda to: to.caches.evicted(to.tenants.of(project_id), level, reason, count)


@reported
def cache_efficiency(
    project_id: Project,
    *,
    level: Cache,
    hit_rate: Share,
    expected_rate: Share,
    metadata: Facts | None = None,
    at: Moment | None = None,
) -> Tell:
    """Report that a cache's hit rate is not what was expected of it; rates are shares from 0 to 1."""
    return lambda to: to.caches.alert(
        to.tenants.of(project_id), level, hit_rate, expected_rate, metadata=metadata, time_ns=nanoseconds(at)
    )
