"""What a tenant is and does over time: tier, plan, resources, caches, patterns."""

from __future__ import annotations

from otel_dynabase.catalog.attributes import (
    CACHE,
    CHANGE_TYPE,
    DATABASE_TYPE,
    EVICTION,
    FROM_PLAN,
    FROM_TIER,
    HOUR,
    IO_OPERATION,
    PERIOD,
    PLAN,
    POOL_TYPE,
    PROJECT,
    RESOURCE,
    SCALE_REASON,
    TENANT_LABELS,
    TIER,
    TO_PLAN,
    TO_TIER,
    TRANSITION,
)
from otel_dynabase.catalog.kinds import Counter, Gauge, Histogram

# --- lifecycle --------------------------------------------------------------------------------------------------------

CURRENT_TIER = Gauge(
    "tenant.current_tier", "{tier}", (PROJECT, PLAN, DATABASE_TYPE),
    "The tier that the tenant runs on: 0 COLD, 1 WARM, 2 HOT, 3 PERSISTENT.",
    sources=("observer",), fold="max",
)  # fmt: skip
TIER_DURATION = Gauge(
    "tenant.tier.duration", "s", TENANT_LABELS,
    "Time since the tenant came to its tier.",
    sources=("observer",), fold="max",
)  # fmt: skip
TIER_TRANSITIONS = Counter(
    "tenant.tier.transitions", "{transition}", (PROJECT, PLAN, FROM_TIER, TO_TIER, TRANSITION),
    "Times that the tenant's tier changed.",
    sources=("report", "observer"),
)  # fmt: skip
ACTIVITY_STATE = Gauge(
    "tenant.activity_state", "{state}", TENANT_LABELS,
    "What the tenant's database does: 0 idle, 1 active, 2 draining.",
    sources=("observer",), fold="max",
)  # fmt: skip
SCALE_TO_ZERO = Counter(
    "tenant.scale_to_zero", "{scaling}", (*TENANT_LABELS, SCALE_REASON),
    "Times that the tenant's compute was given up; `tier` is the one that it had.",
    sources=("report", "observer"),
)  # fmt: skip

# --- plans ------------------------------------------------------------------------------------------------------------

PLAN_CHANGES = Counter(
    "tenant.plan.changes", "{change}", (PROJECT, FROM_PLAN, TO_PLAN, CHANGE_TYPE),
    "Times that the tenant changed its plan.",
    sources=("report", "observer"),
)  # fmt: skip
TENANTS_BY_TIER = Gauge(
    "tenants.by_tier", "{tenant}", (TIER, PLAN),
    "Tenants in the directory.",
    sources=("observer",),
)  # fmt: skip
REVENUE_BY_TIER = Gauge(
    "revenue_units.by_tier", "{unit}", (TIER, PLAN),
    "Tenants times the price of their plan, as the observer's price table has it; not billing data.",
    sources=("observer",),
)  # fmt: skip
CEILING_HITS = Counter(
    "tenant.tier.ceiling.hits", "{hit}", (*TENANT_LABELS, RESOURCE),
    "Times that the tenant stayed at its plan's limit for a sustained while.",
    sources=("observer",),
)  # fmt: skip

# --- resources --------------------------------------------------------------------------------------------------------

CPU_USAGE = Gauge(
    "tenant.cpu.usage.millicores", "{millicore}", TENANT_LABELS,
    "CPU time that the tenant's database uses in a second, estimated: time in which its clients' statements execute, "
    "waits included, parallel workers not.",
    sources=("observer",),
)  # fmt: skip
MEMORY_USAGE = Gauge(
    "tenant.memory.usage", "By", (*TENANT_LABELS, POOL_TYPE),
    "Memory that the tenant's database occupies; what cannot be read is absent, never 0. shared_buffers: pages in the "
    "server's buffers (pg_buffercache). work_mem: what its backends have allocated for themselves (/proc, where the "
    "observer runs on the server's machine).",
    sources=("observer",),
)  # fmt: skip
IO_BYTES = Counter(
    "tenant.io", "By", (*TENANT_LABELS, IO_OPERATION),
    "read: blocks from outside the buffer pool, from the operating system's cache too. write: temporary files, and "
    "with pg_stat_statements the blocks that statements wrote themselves; what the checkpointer writes is nobody's.",
    sources=("observer",),
)  # fmt: skip
QUERY_COST = Histogram(
    "tenant.query.cost.distribution", "{cost}", TENANT_LABELS,
    "The planner's total cost of a sample of the tenant's statements.",
    sources=("app, opt-in",), buckets=(1, 10, 100, 1000, 10000, 100000),
)  # fmt: skip

# --- caches -----------------------------------------------------------------------------------------------------------

CACHE_HITS = Counter(
    "tenant.cache.hits", "{access}", (*TENANT_LABELS, CACHE),
    "Accesses to the platform's caches, by the level that answered; a miss in all of them is `L4_miss`.",
    sources=("report",),
)  # fmt: skip
CACHE_LATENCY = Histogram(
    "tenant.cache.access.latency", "s", (*TENANT_LABELS, CACHE),
    "Time of an access, by the level that answered.",
    sources=("report",), buckets=(0.001, 0.01, 0.05, 0.1, 0.5, 1.0, 3.0),
)  # fmt: skip
CACHE_MEMORY = Gauge(
    "tenant.cache.memory", "By", (*TENANT_LABELS, CACHE),
    "Memory that a cache holds for the tenant.",
    sources=("report",),
)  # fmt: skip
CACHE_EVICTIONS = Counter(
    "tenant.cache.evictions", "{eviction}", (*TENANT_LABELS, CACHE, EVICTION),
    "Entries of the tenant's that a cache gave up.",
    sources=("report",),
)  # fmt: skip

# --- query patterns ---------------------------------------------------------------------------------------------------

QUERY_RATE = Histogram(
    "tenant.query.rate.per_minute", "{query}", TENANT_LABELS,
    "Queries a minute of the tenant's, fleet-wide: one sample a minute.",
    sources=("observer",), buckets=(0.1, 1, 5, 10, 30, 60, 120, 300),
)  # fmt: skip
QUERIES_BY_HOUR = Counter(
    "tenant.queries.by_hour", "{query}", (*TENANT_LABELS, HOUR),
    "Queries of the tenant's, fleet-wide, by the hour of the day.",
    sources=("observer",),
)  # fmt: skip
ACTIVE_HOURS = Gauge(
    "tenant.active_hours_per_day", "{hour}", (PROJECT, PLAN),
    "Hours of a day in which the tenant was active: the mean of the last 7 days.",
    sources=("observer",), fold="max",
)  # fmt: skip
ACTIVITY_PERIODS = Counter(
    "tenant.sustained_activity.periods", "{period}", (PROJECT, PLAN, PERIOD),
    "Periods of sustained activity that have ended, by their length.",
    sources=("observer",),
)  # fmt: skip
IDLE_DURATION = Histogram(
    "tenant.idle.duration", "s", TENANT_LABELS,
    "Time between the end of a tenant's statement and the beginning of its next, as this process sees them.",
    buckets=(1, 60, 300, 900, 3600, 14400, 86400),
)  # fmt: skip
