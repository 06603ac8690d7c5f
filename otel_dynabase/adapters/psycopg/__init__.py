"""psycopg 3 and psycopg_pool: what pools, connections, statements and cursors do, told to the probes.

Tested on the versions that the extra `psycopg` allows, oldest and newest. What is patched is Python in all three
implementations (binary, c, python). The driver's call is never inside a guard.

Not reached: a `connect` that was imported from psycopg before instrumenting (`psycopg.connect` and
`Connection.connect` are). Its connections' statements are measured all the same.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from otel_dynabase.adapters.patches import Patch
from otel_dynabase.adapters.psycopg import asynchronous, blocking
from otel_dynabase.adapters.psycopg.connections import ConnectionWrappers, marked_connections
from otel_dynabase.adapters.psycopg.costs import SampledRecords
from otel_dynabase.adapters.psycopg.statements import StatementRecords, in_result, in_results, no_rows
from otel_dynabase.adapters.psycopg.trips import Trips

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_dynabase.probes import Probes

__all__ = ["INSTANCE_TOUCHPOINTS", "TOUCHPOINTS", "bind", "patches", "release"]

TOUCHPOINTS = (
    "psycopg:AsyncPipeline._fetch_gen",
    "psycopg:AsyncServerCursor._fetch_gen",
    "psycopg:AsyncServerCursor._scroll_gen",
    "psycopg:Cursor._conn",
    "psycopg:Cursor._query",
    "psycopg:Cursor._results",
    "psycopg:Pipeline._fetch_gen",
    "psycopg:ServerCursor._fetch_gen",
    "psycopg:ServerCursor._scroll_gen",
    "psycopg.types:TypeInfo._fetch",
    "psycopg.types:TypeInfo._fetch_async",
    *(
        touchpoint
        for prefix, module in (("", "pool"), ("Async", "pool_async"))
        for touchpoint in (
            f"psycopg_pool:{prefix}ConnectionPool._check_connection",
            f"psycopg_pool:{prefix}ConnectionPool._connect",
            f"psycopg_pool:{prefix}ConnectionPool._get_ready_connection",
            f"psycopg_pool:{prefix}ConnectionPool._return_connection",
            f"psycopg_pool:{prefix}NullConnectionPool._get_ready_connection",
            f"psycopg_pool.{module}:MaintenanceTask.run",
            f"psycopg_pool.{module}:WaitingClient.set",
            f"psycopg_pool.{module}:WaitingClient.wait",
        )
    ),
    "psycopg_pool.base_null_pool:_BaseNullConnectionPool",
)
"""The private parts of psycopg and psycopg_pool that this package relies on."""

INSTANCE_TOUCHPOINTS = ("_check", "_closed", "_max_size", "_min_size", "_pool", "_waiting", "conninfo", "kwargs")
"""Attributes that psycopg_pool gives its pools when they are made."""


def patches(probes: Probes) -> tuple[Patch, ...]:
    """Return the table of psycopg's patches, and of psycopg_pool's where that is installed."""
    connections = ConnectionWrappers(probes)
    records = _records(probes, connections)
    trips = Trips(records)
    table = [
        Patch("psycopg", "connect", connections.function),
        Patch("psycopg", "Connection.connect", connections.method),
        Patch("psycopg", "AsyncConnection.connect", connections.async_method),
        Patch("psycopg.types", "TypeInfo._fetch", blocking.internal),
        Patch("psycopg.types", "TypeInfo._fetch_async", asynchronous.internal),
    ]
    for prefix, a, run in (
        ("", "", blocking.BlockingStatements(records)),
        ("Async", "a", asynchronous.AsyncStatements(records)),
    ):
        table += _of_statements(prefix, a, run, records, trips)
    if find_spec("psycopg_pool") is not None:
        from otel_dynabase.adapters.psycopg.pools import PoolRecords  # noqa: PLC0415  # only where it is installed

        pools = PoolRecords(probes)
        table += _of_pools("", "pool", blocking.BlockingPools(pools), blocking)
        table += _of_pools("Async", "pool_async", asynchronous.AsyncPools(pools), asynchronous)
    return tuple(table)


def _records(probes: Probes, connections: ConnectionWrappers) -> StatementRecords:
    """Return where statements go: to the planner too, if a sample is wanted there."""
    return (
        StatementRecords(probes, connections)
        if probes.costs is None
        else SampledRecords(probes, connections, probes.costs)
    )


def _of_statements(prefix: str, a: str, run: Any, records: StatementRecords, trips: Trips) -> Iterator[Patch]:
    """Return the patches of one kind of connections: `prefix` begins its classes' names, `a` its context managers'."""

    def patch(path: str, wrap: Any) -> Patch:
        return Patch("psycopg", prefix + path, wrap)

    yield patch("Cursor.execute", run.timed(records.of_query, in_result))
    yield patch("Cursor.executemany", run.batch(records.of_query, in_results))
    yield patch("Cursor.stream", run.stream)
    yield patch("Cursor.copy", run.copy)
    yield patch("ServerCursor.execute", run.timed(records.of_query, no_rows))
    yield patch("ServerCursor._fetch_gen", trips.fetch)
    yield patch("ServerCursor._scroll_gen", trips.scroll)
    yield patch("Pipeline._fetch_gen", trips.fetch_results)
    yield patch("Pipeline.sync", run.control)
    yield patch(f"Pipeline.__{a}exit__", run.control)
    yield patch(f"Transaction.__{a}enter__", run.control)
    yield patch(f"Transaction.__{a}exit__", run.control)
    yield patch(f"Connection.__{a}exit__", run.control)
    for name in ("commit", "rollback", "tpc_begin", "tpc_prepare", "tpc_commit", "tpc_rollback", "tpc_recover"):
        yield patch(f"Connection.{name}", run.control)


def _of_pools(prefix: str, module: str, run: Any, kind: Any) -> Iterator[Patch]:
    """Return the patches of one kind of pools."""
    in_stock, without = f"{prefix}ConnectionPool", f"{prefix}NullConnectionPool"
    yield Patch("psycopg_pool", f"{in_stock}.getconn", run.getconn)
    yield Patch("psycopg_pool", f"{in_stock}.putconn", run.putconn)
    yield Patch("psycopg_pool", f"{in_stock}.check", kind.internal)
    yield Patch("psycopg_pool", f"{in_stock}.close", run.closing)
    yield Patch("psycopg_pool", f"{in_stock}._check_connection", run.check_connection)
    yield Patch("psycopg_pool", f"{in_stock}._connect", run.connect)
    yield Patch("psycopg_pool", f"{in_stock}._get_ready_connection", run.ready)
    yield Patch("psycopg_pool", f"{in_stock}._return_connection", run.return_connection)
    yield Patch("psycopg_pool", f"{without}._get_ready_connection", run.ready)
    yield Patch(f"psycopg_pool.{module}", "WaitingClient.__init__", run.lining_up)
    yield Patch(f"psycopg_pool.{module}", "WaitingClient.wait", run.wait_in_line)
    yield Patch(f"psycopg_pool.{module}", "WaitingClient.set", run.serve_line)
    yield Patch(f"psycopg_pool.{module}", "MaintenanceTask.run", run.upkeep)


def bind(target: Any, project_id: str) -> bool:
    """Say whose pool this is; False if it is none of psycopg_pool's."""
    if sys.modules.get("psycopg_pool") is None:
        return False
    from otel_dynabase.adapters.psycopg import pools  # noqa: PLC0415  # only where it is installed

    return pools.bind(target, project_id)


def release() -> None:
    """Take back what was put on pools and connections that are still in use."""
    marked_connections.release()
    if sys.modules.get("psycopg_pool") is not None:
        from otel_dynabase.adapters.psycopg import pools  # noqa: PLC0415  # only where it is installed

        pools.marked_pools.release()
