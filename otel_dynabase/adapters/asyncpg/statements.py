"""asyncpg's statements: connections, prepared statements, cursors, COPY, transactions."""

from __future__ import annotations

import functools
from time import perf_counter
from typing import TYPE_CHECKING, Any

from asyncpg import connresource

from otel_dynabase import faults
from otel_dynabase.adapters.asyncpg.pools import PROBE
from otel_dynabase.tenant import is_internal, mark_internal, marked, unmark

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_dynabase.adapters.asyncpg.pools import PoolWrappers
    from otel_dynabase.probes import Probes
    from otel_dynabase.probes.pool import PoolProbe
    from otel_dynabase.probes.statement import StatementSeries
    from otel_dynabase.probes.tenants import TenantSeries

    Function = Callable[..., Any]
    Rows = Callable[[Any, Any], int | None]
    """How many rows a result is, given what ran it; None where it gives the application none."""
    Begin = Callable[[Any, tuple[Any, ...], dict[str, Any]], StatementSeries | None]


def no_rows(_subject: Any, _result: Any) -> None:
    """Count nothing: the statement gives the application no rows."""


def all_rows(_subject: Any, result: Any) -> int:
    """Count a list of rows."""
    return len(result)


def one_row(_subject: Any, result: Any) -> int:
    """Count a row or a value that may be missing."""
    return 0 if result is None else 1


def copied(_subject: Any, status: Any) -> int:
    """Read the number out of a `COPY n` status."""
    return int(status.rpartition(" ")[2])


def buffered(cursor: Any, row: Any) -> int:
    """Count what a trip brought: the row given out and those still in the buffer."""
    return 0 if row is None else 1 + len(cursor._buffer)


class StatementWrappers:
    """How each kind of statement begins, and wrappers of what is not a statement but may fail like one."""

    def __init__(self, probes: Probes, pools: PoolWrappers) -> None:
        self._statements = probes.statements
        self._pools = pools
        self._of_other_pools = probes.pools

    def _tenant(self, connection: Any) -> TenantSeries:
        """Find out for whom a connection is used: its pool's tenant, its database's, or the current task's."""
        proxy = connection._proxy
        if proxy is None:
            owned = self._of_other_pools.series_of(connection)
            return owned or self._pools.series_of_database(connection._params.database)
        pool = proxy._holder._pool
        probe: PoolProbe = pool._queue.__dict__.get(PROBE) or self._pools.probe(pool)
        return probe.series()

    def _begin(self, connection: Any, sql: str, operation: str | None = None) -> StatementSeries | None:
        """Find out where a statement's figures go; `timed` guards this and all that begins a statement."""
        return self._statements.series(self._tenant(connection), sql, operation)

    def of_connection(self, sql_name: str) -> Begin:
        """Begin statements whose text is a method's first parameter, called `sql_name`."""

        def begin(connection: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> StatementSeries | None:
            sql = args[0] if args else kwargs.get(sql_name, "")
            proxy = connection._proxy
            if proxy is not None:
                probe: PoolProbe | None = proxy._holder._pool._queue.__dict__.get(PROBE)
                if probe is not None:
                    return probe.statements.get(sql) or self._statements.bind(probe, sql)
            return self._begin(connection, sql)

        return begin

    def of_copy(self, connection: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> StatementSeries | None:
        """Begin a COPY, whose text the driver makes."""
        return self._begin(connection, "", "COPY")

    def of_prepared(self, prepared: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> StatementSeries | None:
        """Begin an execution of a prepared statement."""
        return self._begin(prepared._connection, prepared._query)

    def of_cursor(self, cursor: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> StatementSeries | None:
        """Begin a cursor: opening it is its statement; every further trip to the server is a FETCH."""
        return self._begin(cursor._connection, cursor._query)

    def of_fetch(self, cursor: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> StatementSeries | None:
        """Begin a trip of an open cursor, unless it has nothing left to ask for."""
        return None if cursor._exhausted else self._begin(cursor._connection, "", "FETCH")

    def of_iteration(self, cursor: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> StatementSeries | None:
        """Begin only where iterating goes to the server: rows of the same trip come out of a buffer."""
        if cursor._buffer or cursor._exhausted:
            return None
        return self._begin(cursor._connection, cursor._query, "FETCH" if cursor._portal_name else None)

    def control(self, original: Function) -> Function:
        """Wrap a method of a transaction: its statements are the driver's, its failures the application's."""

        async def run(transaction: Any, *args: Any, **kwargs: Any) -> Any:
            if is_internal():
                return await original(transaction, *args, **kwargs)
            mark = mark_internal()
            try:
                return await original(transaction, *args, **kwargs)
            except BaseException as error:
                self._failed(transaction._connection, error)
                raise
            finally:
                unmark(mark)

        return run

    def prepare(self, original: Function) -> Function:
        """Wrap preparing: no statement ran, but a failure is the application's to know."""

        async def prepare(connection: Any, *args: Any, **kwargs: Any) -> Any:
            began = perf_counter()
            try:
                return await original(connection, *args, **kwargs)
            except BaseException as error:
                if not is_internal():
                    self._not_prepared(connection, args, kwargs, began, error)
                raise

        return prepare

    def _not_prepared(
        self, connection: Any, args: tuple[Any, ...], kwargs: dict[str, Any], began: float, error: BaseException
    ) -> None:
        """Account for a failure to prepare; a library above that prepares whatever it runs was running a statement."""
        series = None
        try:
            if self._of_other_pools.owner(connection) is not None:
                series = self._begin(connection, args[0] if args else kwargs.get("query", ""))
        except Exception:
            faults.ignore("beginning a statement")
        if series is None:
            self._failed(connection, error)
        else:
            series.failed(began, error, driver_timeout=_limited(connection, kwargs))

    def _failed(self, connection: Any, error: BaseException) -> None:
        try:
            self._statements.control_failed(self._tenant(connection), error)
        except Exception:
            faults.ignore("measuring a failed transaction")


def timed(begin: Begin, rows: Rows) -> Callable[[Function], Function]:
    """Make the one wrapper of everything that runs a statement."""

    def wrap(original: Function) -> Function:
        async def run(subject: Any, *args: Any, **kwargs: Any) -> Any:
            series = None
            try:
                if marked() is None or not is_internal():
                    series = begin(subject, args, kwargs)
            except Exception:
                faults.ignore("beginning a statement")
            if series is None:
                return await original(subject, *args, **kwargs)
            began = perf_counter()
            try:
                result = await original(subject, *args, **kwargs)
            except StopAsyncIteration:
                series.done(began, rows, subject, None)
                raise
            except BaseException as error:
                series.failed(began, error, driver_timeout=_limited(subject, kwargs))
                raise
            series.done(began, rows, subject, result)
            return result

        return run

    return wrap


def guarded(wrap: Callable[[Function], Function]) -> Callable[[Function], Function]:
    """Wrap beneath the driver's check that a resource is still usable: it refuses at the call, not when awaited."""

    def wrapped(original: Function) -> Function:
        checked: Function = vars(original)["__wrapped__"]  # connresource.guarded uses functools.wraps
        refusing: Function = connresource.guarded(functools.wraps(checked)(wrap(checked)))
        return refusing

    return wrapped


def _limited(subject: Any, kwargs: dict[str, Any]) -> bool:
    """Say whether a TimeoutError can be the driver's own: it had a limit for this call.

    A cursor keeps its limit to itself, but runs nothing of the application's that could raise one.
    """
    try:
        if hasattr(subject, "_portal_name") or kwargs.get("timeout") is not None:
            return True
        return getattr(subject, "_connection", subject)._config.command_timeout is not None
    except Exception:
        faults.ignore("reading a time limit")
        return False
