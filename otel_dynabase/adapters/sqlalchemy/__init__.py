"""SQLAlchemy: its pools, and what it does by itself on their connections. The drivers' adapters measure statements.

Tested on the versions that the extra `sqlalchemy` allows, oldest and newest. Measured are pools of engines for
PostgreSQL, whatever the driver; those of other databases are left alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_dynabase.adapters.patches import Patch
from otel_dynabase.adapters.sqlalchemy.control import ControlWrappers, internal, upkeep
from otel_dynabase.adapters.sqlalchemy.pools import PoolWrappers, bind, release
from otel_dynabase.adapters.sqlalchemy.stock import queue_get

if TYPE_CHECKING:
    from otel_dynabase.probes import Probes

__all__ = ["TOUCHPOINTS", "bind", "patches", "release"]

TOUCHPOINTS = (
    "sqlalchemy.engine.default:DefaultDialect.create_connect_args",
    "sqlalchemy.pool.base:Pool._dialect",
    "sqlalchemy.pool.base:_ConnectionFairy._connection_record",
    "sqlalchemy.pool.base:_ConnectionRecord._ConnectionRecord__connect",
    "sqlalchemy.pool.base:_ConnectionRecord._ConnectionRecord__pool",
    "sqlalchemy.pool.base:_finalize_fairy",
    "sqlalchemy.pool.impl:QueuePool._do_get",
    "sqlalchemy.util.queue:AsyncAdaptedQueue._queue",
    "sqlalchemy.util.queue:Queue.get",
)
"""The private parts of SQLAlchemy that this package relies on; those of instances are in INSTANCE_TOUCHPOINTS."""

INSTANCE_TOUCHPOINTS = (
    "QueuePool._pool",
    "QueuePool._max_overflow",
    "QueuePool._pool.mutex",
    "QueuePool._pool.queue",
    "AsyncAdaptedQueuePool._pool._queue._queue",
    "StaticPool.connection",
    "AssertionPool._conn",
    "SingletonThreadPool._all_conns",
    "SingletonThreadPool._fairy",
    "Pool._orig_logging_name",
)
"""Attributes that SQLAlchemy gives its pools when they are made."""


POOLS = ("AssertionPool", "NullPool", "QueuePool", "SingletonThreadPool", "StaticPool")
"""SQLAlchemy's kinds of pool that make their own successor; the others inherit it."""


def patches(probes: Probes) -> tuple[Patch, ...]:
    """Return the table of SQLAlchemy's patches."""
    pools, control = PoolWrappers(probes), ControlWrappers(probes).control
    return (
        Patch("sqlalchemy.engine.base", "Engine.raw_connection", pools.raw_connection),
        Patch("sqlalchemy.engine.base", "Connection.get_isolation_level", internal),
        Patch("sqlalchemy.engine.default", "DefaultDialect.do_savepoint", control),
        Patch("sqlalchemy.engine.default", "DefaultDialect.do_rollback_to_savepoint", control),
        Patch("sqlalchemy.engine.default", "DefaultDialect.do_release_savepoint", control),
        Patch("sqlalchemy.dialects.postgresql.base", "PGDialect.do_prepare_twophase", control),
        Patch("sqlalchemy.dialects.postgresql.base", "PGDialect.do_commit_twophase", control),
        Patch("sqlalchemy.dialects.postgresql.base", "PGDialect.do_rollback_twophase", control),
        Patch("sqlalchemy.pool.base", "Pool.connect", pools.connect),
        Patch("sqlalchemy.pool.base", "_ConnectionRecord._ConnectionRecord__connect", pools.record_connect),
        Patch("sqlalchemy.pool.base", "_ConnectionRecord.get_connection", pools.record_get),
        Patch("sqlalchemy.pool.base", "_ConnectionRecord.checkin", pools.record_checkin),
        Patch("sqlalchemy.pool.base", "_ConnectionFairy.detach", pools.fairy_detach),
        Patch("sqlalchemy.pool.base", "_finalize_fairy", upkeep),
        Patch("sqlalchemy.pool.impl", "QueuePool._do_get", pools.do_get),
        Patch("sqlalchemy.pool.impl", "SingletonThreadPool.connect", pools.connect_in_thread),
        *(Patch("sqlalchemy.pool.impl", f"{name}.recreate", pools.recreate) for name in POOLS),
        Patch("sqlalchemy.util.queue", "Queue.get", queue_get),
    )
