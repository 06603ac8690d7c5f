"""Every metric, once. Series, data points, documents and the collector's allow-list are derived from these lines.

Sources and meanings: the reference page that is generated from here. Names are OpenTelemetry names; Prometheus shows
`db.query.duration` in seconds as `db_query_duration_seconds`, and a counter with `_total` behind it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_dynabase.catalog.attributes import (
    ACTION,
    CACHE_LEVEL,
    DATABASE_TYPE,
    DB_OPERATION,
    DB_SYSTEM,
    ERROR_TYPE,
    EVENT_OUTCOME,
    FAULT_PLACE,
    LIMIT_TYPE,
    OPERATION,
    PLAN,
    POOL_NAME,
    POOL_STATUS,
    PROJECT,
    REJECTION,
    SEMCONV_ERROR_TYPE,
    SOURCE_TIER,
    STATE,
    STATUS,
    TIER,
)
from otel_dynabase.catalog.kinds import Counter, Histogram, Metric, UpDownCounter, View

if TYPE_CHECKING:
    from otel_dynabase.catalog.kinds import Key

TENANT_LABELS = (PROJECT, TIER, PLAN)

QUERY_BUCKETS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0, 10.0)
"""Seconds: the semantic convention's edges and every plan's objective, so that compliance is a count, not a guess."""
WAIT_BUCKETS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0)
"""Seconds: with every plan's connection timeout as an edge."""
ROW_BUCKETS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)

# --- statements -------------------------------------------------------------------------------------------------------


def _without_error_type(key: Key) -> Key:
    project, tier, plan, operation, _error_type = key
    return project, tier, plan, operation


def _by_status(key: Key) -> Key:
    project, tier, plan, _operation, error_type = key
    return project, tier, plan, "ok" if error_type is None else "error"


OPERATION_DURATION = Histogram(
    "db.client.operation.duration", "s", (*TENANT_LABELS, DB_SYSTEM, DB_OPERATION, SEMCONV_ERROR_TYPE),
    "Time from the driver's call to its result.",
    buckets=QUERY_BUCKETS,
)  # fmt: skip
QUERY_DURATION = Histogram(
    "db.query.duration", "s", (*TENANT_LABELS, DATABASE_TYPE, OPERATION),
    "Time from the driver's call to its result.",
    buckets=QUERY_BUCKETS, view_of=View(OPERATION_DURATION, _without_error_type),
)  # fmt: skip
QUERIES = Counter(
    "db.queries", "{query}", (*TENANT_LABELS, DATABASE_TYPE, STATUS),
    "Statements that the application ran; a driver's own (BEGIN, COMMIT, reset, LISTEN) are not among them.",
    view_of=View(OPERATION_DURATION, _by_status),
)  # fmt: skip
RETURNED_ROWS = Histogram(
    "db.client.response.returned_rows", "{row}", (*TENANT_LABELS, DB_SYSTEM, DB_OPERATION),
    "Rows that a statement gave to the application.",
    buckets=ROW_BUCKETS,
)  # fmt: skip
ERRORS = Counter(
    "db.errors", "{error}", (*TENANT_LABELS, DATABASE_TYPE, ERROR_TYPE),
    "Failures of statements, of transaction control, and of getting a connection.",
)  # fmt: skip

# --- pools ------------------------------------------------------------------------------------------------------------


def _without_pool(key: Key) -> Key:
    return key[:3]


CONNECTION_WAIT = Histogram(
    "db.client.connection.wait_time", "s", (*TENANT_LABELS, POOL_NAME),
    "Time to obtain an open connection from the pool: queueing and connecting.",
    buckets=WAIT_BUCKETS,
)  # fmt: skip
ACQUIRE_DURATION = Histogram(
    "db.connection.acquire.duration", "s", (*TENANT_LABELS, DATABASE_TYPE),
    "Time waited for a connection: queueing and connecting.",
    buckets=WAIT_BUCKETS, view_of=View(CONNECTION_WAIT, _without_pool),
)  # fmt: skip
CONNECTION_CREATE = Histogram(
    "db.client.connection.create_time", "s", (*TENANT_LABELS, POOL_NAME),
    "Time to create a new connection, the application's `init` included.",
    buckets=WAIT_BUCKETS,
)  # fmt: skip
CONNECTION_USE = Histogram(
    "db.client.connection.use_time", "s", (*TENANT_LABELS, POOL_NAME),
    "Time between borrowing a connection and returning it to the pool.",
    buckets=WAIT_BUCKETS,
)  # fmt: skip
CONNECTION_TIMEOUTS = Counter(
    "db.client.connection.timeouts", "{timeout}", (*TENANT_LABELS, POOL_NAME),
    "Attempts to obtain a connection that ended with the attempt's own timeout.",
)  # fmt: skip
CONNECTION_COUNT = UpDownCounter(
    "db.client.connection.count", "{connection}", (*TENANT_LABELS, POOL_NAME, STATE),
    "Connections that the pool holds, by state.",
)  # fmt: skip
CONNECTION_MAX = UpDownCounter(
    "db.client.connection.max", "{connection}", (*TENANT_LABELS, POOL_NAME),
    "The most open connections allowed.",
)  # fmt: skip
CONNECTION_IDLE_MAX = UpDownCounter(
    "db.client.connection.idle.max", "{connection}", (*TENANT_LABELS, POOL_NAME),
    "The most idle open connections allowed.",
)  # fmt: skip
CONNECTION_IDLE_MIN = UpDownCounter(
    "db.client.connection.idle.min", "{connection}", (*TENANT_LABELS, POOL_NAME),
    "The fewest idle open connections kept.",
)  # fmt: skip
CONNECTION_PENDING = UpDownCounter(
    "db.client.connection.pending_requests", "{request}", (*TENANT_LABELS, POOL_NAME),
    "Requests for an open connection that are waiting now, queued or connecting.",
)  # fmt: skip
POOL_SIZE = UpDownCounter(
    "db.pool.size", "{connection}", (*TENANT_LABELS, DATABASE_TYPE, POOL_STATUS, POOL_NAME),
    "Connections that the pool holds, by state; with the pool's name instead of a project where many tenants share it.",
)  # fmt: skip
ACTIVE_CONNECTIONS = UpDownCounter(
    "db.active_connections", "{connection}", (*TENANT_LABELS, DATABASE_TYPE),
    "Connections checked out now.",
)  # fmt: skip

# --- limits -----------------------------------------------------------------------------------------------------------

LIMIT_HITS = Counter(
    "tenant.limit.hits", "{hit}", (*TENANT_LABELS, LIMIT_TYPE, ACTION),
    "Times that a limit of the tenant's made a request wait or fail.",
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
)  # fmt: skip

# --- cold starts ------------------------------------------------------------------------------------------------------

COLD_STARTS = Counter(
    "tenant.cold_starts", "{start}", (PROJECT, PLAN, SOURCE_TIER),
    "Times that a request found the tenant's compute asleep and woke it.",
)  # fmt: skip
COLD_START_DURATION = Histogram(
    "tenant.cold_start.duration", "s", (PROJECT, PLAN, CACHE_LEVEL),
    "Time from the first try to the first usable connection.",
    buckets=(0.1, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0),
)  # fmt: skip
FIRST_QUERY = Histogram(
    "tenant.first_query.latency", "s", TENANT_LABELS,
    "Duration of the first statement after a cold start.",
    buckets=(0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0),
)  # fmt: skip

# --- about itself -----------------------------------------------------------------------------------------------------

SELF_EVENTS = Counter(
    "otel_dynabase.events", "{event}", (EVENT_OUTCOME,),
    "Events by what became of them; `dropped` is what storage will never see.",
)  # fmt: skip
SELF_SERIES = UpDownCounter(
    "otel_dynabase.series", "{series}", (),
    "Series that this process keeps.",
)  # fmt: skip
SELF_FOLDED = Counter(
    "otel_dynabase.folded", "{lookup}", (),
    "Times that a tenant beyond the budget was measured into `_other`.",
)  # fmt: skip
SELF_FAULTS = UpDownCounter(
    "otel_dynabase.faults", "{fault}", (FAULT_PLACE,),
    "Failures inside the instrumentation that were kept from the application.",
)  # fmt: skip
SELF_UNKNOWN = UpDownCounter(
    "otel_dynabase.directory.unknown_projects", "{project}", (),
    "Projects that were asked for and are not in the directory.",
)  # fmt: skip
SELF_DIRECTORY_AGE = UpDownCounter(
    "otel_dynabase.directory.age", "s", (),
    "Time since the directory was last read without error.",
)  # fmt: skip

METRICS: tuple[Metric, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
"""All of the above, in the order they are written."""
