"""Limits, circuit breakers and cold starts: what a plan grants, and what became of a request."""

from __future__ import annotations

from otel_dynabase.catalog.attributes import (
    ACTION,
    AFFECTED_METRIC,
    CACHE_LEVEL,
    DATABASE_TYPE,
    LIMIT_TYPE,
    PLAN,
    PROJECT,
    REJECTION,
    SOURCE_TIER,
    TENANT_LABELS,
)
from otel_dynabase.catalog.kinds import Counter, Gauge, Histogram, UpDownCounter
from otel_dynabase.catalog.plans import PLANS

# --- limits -----------------------------------------------------------------------------------------------------------

LIMIT_HITS = Counter(
    "tenant.limit.hits", "{hit}", (*TENANT_LABELS, LIMIT_TYPE, ACTION),
    "Times that a limit of the tenant's made a request wait or fail.",
    sources=("app", "report"),
)  # fmt: skip
LIMIT_QUEUE = Histogram(
    "tenant.limit.queue.duration", "s", (*TENANT_LABELS, LIMIT_TYPE),
    "Time that an acquire waited because a limit was reached.",
    buckets=(0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0),
)  # fmt: skip
QUEUE_DEPTH = UpDownCounter(
    "tenant.connection.queue_depth", "{request}", TENANT_LABELS,
    "Acquires that wait now because every connection is out.",
)  # fmt: skip
REJECTIONS = Counter(
    "tenant.connection.rejections", "{rejection}", (*TENANT_LABELS, REJECTION),
    "Requests for a connection that were refused.",
    sources=("app", "report"), born_for=PLANS,
)  # fmt: skip

# --- circuit breakers -------------------------------------------------------------------------------------------------

BREAKER_STATE_GAUGE = Gauge(
    "circuit_breaker.state", "{state}", (*TENANT_LABELS, DATABASE_TYPE),
    "What the tenant's circuit breaker does: 0 closed, 1 half-open, 2 open.",
    sources=("app", "report"), fold="max",
)  # fmt: skip
BREAKER_OPENED = Counter(
    "circuit_breaker.open", "{opening}", (*TENANT_LABELS, DATABASE_TYPE),
    "Times that the tenant's circuit breaker opened.",
    sources=("app", "report"),
)  # fmt: skip
# --- cold starts ------------------------------------------------------------------------------------------------------

COLD_STARTS = Counter(
    "tenant.cold_starts", "{start}", (PROJECT, PLAN, SOURCE_TIER),
    "Times that a request found the tenant's compute asleep and woke it.",
    sources=("app", "report"), born_for=("enterprise",),
)  # fmt: skip
COLD_START_DURATION = Histogram(
    "tenant.cold_start.duration", "s", (PROJECT, PLAN, CACHE_LEVEL),
    "Time from the first try to the first usable connection.",
    sources=("app", "report"),
    buckets=(0.1, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0),
)  # fmt: skip
FIRST_QUERY = Histogram(
    "tenant.first_query.latency", "s", TENANT_LABELS,
    "Duration of the first statement after a cold start.",
    buckets=(0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0),
)  # fmt: skip

# --- one tenant, or four hundred --------------------------------------------------------------------------------------

AFFECTED = Gauge(
    "tenants.affected", "{tenant}", (PLAN, AFFECTED_METRIC),
    "Different tenants that a metric of trouble has counted for in the last 5 minutes, also those without series of "
    "their own.",
    sources=("collector",),
)  # fmt: skip
