"""asyncpg: what its pools, connections, statements and cursors do, told to the probes.

Tested on the versions that the extra `asyncpg` allows, oldest and newest. The driver's call is never inside a guard.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_dynabase.adapters.asyncpg.costs import Sampling
from otel_dynabase.adapters.asyncpg.pools import PoolWrappers, bind, holder_release, internal, release
from otel_dynabase.adapters.asyncpg.statements import (
    StatementWrappers,
    all_rows,
    buffered,
    copied,
    guarded,
    no_rows,
    one_row,
    timed,
)
from otel_dynabase.adapters.patches import Patch

if TYPE_CHECKING:
    from otel_dynabase.probes import Probes

__all__ = ["TOUCHPOINTS", "bind", "patches", "release"]

TOUCHPOINTS = (
    "asyncpg.connect_utils:_connect",
    "asyncpg.connect_utils:_connect_addr",
    "asyncpg.connection:Connection._addr",
    "asyncpg.connection:Connection._config",
    "asyncpg.connection:Connection._params",
    "asyncpg.connection:Connection._proxy",
    "asyncpg.connresource:guarded",
    "asyncpg.cursor:Cursor._init",
    "asyncpg.cursor:CursorIterator._buffer",
    "asyncpg.cursor:CursorIterator._exhausted",
    "asyncpg.cursor:CursorIterator._portal_name",
    "asyncpg.cursor:CursorIterator._query",
    "asyncpg.cursor:CursorIterator._timeout",
    "asyncpg.pool:Pool._acquire",
    "asyncpg.pool:Pool._async__init__",
    "asyncpg.pool:Pool._closed",
    "asyncpg.pool:Pool._connect_args",
    "asyncpg.pool:Pool._connect_kwargs",
    "asyncpg.pool:Pool._maxsize",
    "asyncpg.pool:Pool._minsize",
    "asyncpg.pool:Pool._queue",
    "asyncpg.pool:Pool._reset",
    "asyncpg.pool:PoolConnectionHolder._con",
    "asyncpg.pool:PoolConnectionHolder._in_use",
    "asyncpg.pool:PoolConnectionHolder._pool",
    "asyncpg.pool:PoolConnectionHolder._release",
    "asyncpg.pool:PoolConnectionHolder._setup",
    "asyncpg.pool:PoolConnectionProxy._holder",
    "asyncpg.prepared_stmt:PreparedStatement._query",
    "asyncpg.transaction:Transaction._Transaction__commit",
    "asyncpg.transaction:Transaction._Transaction__rollback",
    "asyncpg.utils:_mogrify",
)
"""The private parts of asyncpg that this package relies on."""


def patches(probes: Probes) -> tuple[Patch, ...]:
    """Return the table of asyncpg's patches."""
    pools = PoolWrappers(probes)
    run = StatementWrappers(probes, pools)
    sampling = Sampling(probes.costs)
    query = sampling.of_connection(run.of_connection("query"), "query")
    command = sampling.of_connection(run.of_connection("command"), "command")
    prepared, cursor, iteration = map(sampling.of_prepared, (run.of_prepared, run.of_cursor, run.of_iteration))
    return (
        Patch("asyncpg.pool", "Pool._acquire", pools.acquire),
        Patch("asyncpg.pool", "Pool._async__init__", pools.opening),
        Patch("asyncpg.pool", "Pool.close", pools.closing),
        Patch("asyncpg.pool", "Pool.terminate", pools.terminating),
        Patch("asyncpg.pool", "Pool._maintain_min_size", internal, optional=True),
        Patch("asyncpg.pool", "PoolConnectionHolder.acquire", pools.holder_acquire),
        Patch("asyncpg.pool", "PoolConnectionHolder.connect", pools.holder_connect),
        Patch("asyncpg.pool", "PoolConnectionHolder.release", holder_release),
        Patch("asyncpg.pool", "PoolConnectionHolder._release", pools.holder_released),
        Patch("asyncpg.connect_utils", "_connect", pools.connect),
        Patch("asyncpg.connection", "Connection.execute", timed(query, no_rows)),
        Patch("asyncpg.connection", "Connection.executemany", timed(command, no_rows)),
        Patch("asyncpg.connection", "Connection.fetch", timed(query, all_rows)),
        Patch("asyncpg.connection", "Connection.fetchval", timed(query, one_row)),
        Patch("asyncpg.connection", "Connection.fetchrow", timed(query, one_row)),
        Patch("asyncpg.connection", "Connection.fetchmany", timed(query, all_rows)),
        Patch("asyncpg.connection", "Connection.copy_from_table", timed(run.of_copy, copied)),
        Patch("asyncpg.connection", "Connection.copy_from_query", timed(run.of_copy, copied)),
        Patch("asyncpg.connection", "Connection.copy_to_table", timed(run.of_copy, no_rows)),
        Patch("asyncpg.connection", "Connection.copy_records_to_table", timed(run.of_copy, no_rows)),
        Patch("asyncpg.connection", "Connection.prepare", run.prepare),
        Patch("asyncpg.connection", "Connection.reset", internal),
        Patch("asyncpg.connection", "Connection.add_listener", internal),
        Patch("asyncpg.connection", "Connection.remove_listener", internal),
        Patch("asyncpg.utils", "_mogrify", internal),
        Patch("asyncpg.prepared_stmt", "PreparedStatement.fetch", guarded(timed(prepared, all_rows))),
        Patch("asyncpg.prepared_stmt", "PreparedStatement.fetchval", guarded(timed(prepared, one_row))),
        Patch("asyncpg.prepared_stmt", "PreparedStatement.fetchrow", guarded(timed(prepared, one_row))),
        Patch("asyncpg.prepared_stmt", "PreparedStatement.fetchmany", guarded(timed(prepared, all_rows))),
        Patch("asyncpg.prepared_stmt", "PreparedStatement.executemany", guarded(timed(prepared, no_rows))),
        Patch("asyncpg.cursor", "Cursor._init", timed(cursor, no_rows)),
        Patch("asyncpg.cursor", "Cursor.fetch", guarded(timed(run.of_fetch, all_rows))),
        Patch("asyncpg.cursor", "Cursor.fetchrow", guarded(timed(run.of_fetch, one_row))),
        Patch("asyncpg.cursor", "Cursor.forward", guarded(timed(run.of_fetch, no_rows))),
        Patch("asyncpg.cursor", "CursorIterator.__anext__", guarded(timed(iteration, buffered))),
        Patch("asyncpg.transaction", "Transaction.start", guarded(run.control)),
        Patch("asyncpg.transaction", "Transaction._Transaction__commit", run.control),
        Patch("asyncpg.transaction", "Transaction._Transaction__rollback", run.control),
    )
