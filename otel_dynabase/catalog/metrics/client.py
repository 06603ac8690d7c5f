"""What an application sees of its database: statements and pools."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_dynabase.catalog.attributes import (
    DATABASE_TYPE,
    DB_OPERATION,
    DB_SYSTEM,
    ERROR_TYPE,
    OPERATION,
    POOL_NAME,
    POOL_STATUS,
    SEMCONV_ERROR_TYPE,
    STATE,
    STATUS,
    TENANT_LABELS,
)
from otel_dynabase.catalog.kinds import Counter, Histogram, UpDownCounter, View

if TYPE_CHECKING:
    from otel_dynabase.catalog.kinds import Key

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
