"""asyncpg: what its pools, connections, statements and cursors do, told to the probes.

Tested on the versions that the extra `asyncpg` allows, oldest and newest. The driver's call is never inside a guard.
"""

from __future__ import annotations

import weakref
from contextlib import suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from asyncpg.pool import Pool

from otel_dynabase import faults
from otel_dynabase.adapters.asyncpg_target import target_of
from otel_dynabase.adapters.patches import Patch
from otel_dynabase.probes.pool import Connecting, PoolProbe
from otel_dynabase.tenant import is_internal, mark_callback, mark_internal, unmark

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Token

    from otel_dynabase.probes import Probes
    from otel_dynabase.probes.pool import Wait
    from otel_dynabase.probes.statement import Statement
    from otel_dynabase.probes.tenants import TenantSeries

    Function = Callable[..., Any]
    Rows = Callable[[Any, Any], int | None]
    """How many rows a result is, given what ran it; None where it gives the application none."""
    Begin = Callable[[Any, tuple[Any, ...], dict[str, Any]], Statement | None]

TOUCHPOINTS = (
    "asyncpg.connect_utils:_connect",
    "asyncpg.connection:Connection._params",
    "asyncpg.connection:Connection._config",
    "asyncpg.connection:Connection._proxy",
    "asyncpg.connection:Connection._reset",
    "asyncpg.cursor:Cursor._init",
    "asyncpg.cursor:CursorIterator._buffer",
    "asyncpg.cursor:CursorIterator._exhausted",
    "asyncpg.cursor:CursorIterator._portal_name",
    "asyncpg.cursor:CursorIterator._query",
    "asyncpg.pool:Pool._acquire",
    "asyncpg.pool:Pool._queue",
    "asyncpg.pool:Pool._connect_args",
    "asyncpg.pool:Pool._connect_kwargs",
    "asyncpg.pool:PoolConnectionHolder._con",
    "asyncpg.pool:PoolConnectionHolder._in_use",
    "asyncpg.pool:PoolConnectionHolder._pool",
    "asyncpg.pool:PoolConnectionHolder._release",
    "asyncpg.pool:PoolConnectionHolder._setup",
    "asyncpg.pool:PoolConnectionProxy._holder",
    "asyncpg.prepared_stmt:PreparedStatement._query",
    "asyncpg.transaction:Transaction._Transaction__commit",
    "asyncpg.transaction:Transaction._Transaction__rollback",
)
"""The private parts of asyncpg that this module relies on."""

PROBE = "_otel_dynabase_probe"
PROJECT = "_otel_dynabase_project"
"""Attributes of a pool's queue: pools have slots and cannot be weakly referenced, and their queue dies with them."""

_wait: ContextVar[Wait | None] = ContextVar("otel_dynabase_wait", default=None)


def patches(probes: Probes) -> tuple[Patch, ...]:
    """Return the table of asyncpg's patches."""
    adapter = _Adapter(probes)
    query, command = adapter.of_connection("query"), adapter.of_connection("command")
    return (
        Patch("asyncpg.pool", "Pool._acquire", adapter.acquire),
        Patch("asyncpg.pool", "Pool.close", adapter.close),
        Patch("asyncpg.pool", "Pool.terminate", adapter.terminate),
        Patch("asyncpg.pool", "Pool._maintain_min_size", _internal, optional=True),
        Patch("asyncpg.pool", "PoolConnectionHolder.acquire", adapter.holder_acquire),
        Patch("asyncpg.pool", "PoolConnectionHolder.connect", adapter.holder_connect),
        Patch("asyncpg.pool", "PoolConnectionHolder.release", _internal),
        Patch("asyncpg.pool", "PoolConnectionHolder._release", adapter.holder_released),
        Patch("asyncpg.connect_utils", "_connect", adapter.connect),
        Patch("asyncpg.connection", "Connection.execute", _timed(query, _no_rows)),
        Patch("asyncpg.connection", "Connection.executemany", _timed(command, _no_rows)),
        Patch("asyncpg.connection", "Connection.fetch", _timed(query, _all_rows)),
        Patch("asyncpg.connection", "Connection.fetchval", _timed(query, _one_row)),
        Patch("asyncpg.connection", "Connection.fetchrow", _timed(query, _one_row)),
        Patch("asyncpg.connection", "Connection.fetchmany", _timed(query, _all_rows)),
        Patch("asyncpg.connection", "Connection.copy_from_table", _timed(adapter.of_copy, _copied)),
        Patch("asyncpg.connection", "Connection.copy_from_query", _timed(adapter.of_copy, _copied)),
        Patch("asyncpg.connection", "Connection.copy_to_table", _timed(adapter.of_copy, _no_rows)),
        Patch("asyncpg.connection", "Connection.copy_records_to_table", _timed(adapter.of_copy, _no_rows)),
        Patch("asyncpg.connection", "Connection.prepare", adapter.prepare),
        Patch("asyncpg.connection", "Connection.reset", _internal),
        Patch("asyncpg.connection", "Connection._reset", _internal),
        Patch("asyncpg.connection", "Connection.add_listener", _internal),
        Patch("asyncpg.connection", "Connection.remove_listener", _internal),
        Patch("asyncpg.prepared_stmt", "PreparedStatement.fetch", _timed(adapter.of_prepared, _all_rows)),
        Patch("asyncpg.prepared_stmt", "PreparedStatement.fetchval", _timed(adapter.of_prepared, _one_row)),
        Patch("asyncpg.prepared_stmt", "PreparedStatement.fetchrow", _timed(adapter.of_prepared, _one_row)),
        Patch("asyncpg.prepared_stmt", "PreparedStatement.fetchmany", _timed(adapter.of_prepared, _all_rows)),
        Patch("asyncpg.prepared_stmt", "PreparedStatement.executemany", _timed(adapter.of_prepared, _no_rows)),
        Patch("asyncpg.cursor", "Cursor._init", _timed(adapter.of_cursor, _no_rows)),
        Patch("asyncpg.cursor", "Cursor.fetch", _timed(adapter.of_fetch, _all_rows)),
        Patch("asyncpg.cursor", "Cursor.fetchrow", _timed(adapter.of_fetch, _one_row)),
        Patch("asyncpg.cursor", "Cursor.forward", _timed(adapter.of_fetch, _no_rows)),
        Patch("asyncpg.cursor", "CursorIterator.__anext__", _timed(adapter.of_iteration, _buffered)),
        Patch("asyncpg.transaction", "Transaction.start", adapter.control),
        Patch("asyncpg.transaction", "Transaction._Transaction__commit", adapter.control),
        Patch("asyncpg.transaction", "Transaction._Transaction__rollback", adapter.control),
    )


def bind(pool: Any, project_id: str) -> bool:
    """Say whose pool this is; False if it is none of asyncpg's."""
    queue = pool._queue if isinstance(pool, Pool) else None
    if queue is None:
        return False
    setattr(queue, PROJECT, project_id)
    probe = getattr(queue, PROBE, None)
    if probe is not None:
        probe.bind(project_id)
    return True


def _no_rows(_subject: Any, _result: Any) -> None:
    return None


def _all_rows(_subject: Any, result: Any) -> int:
    return len(result)


def _one_row(_subject: Any, result: Any) -> int:
    return 0 if result is None else 1


def _copied(_subject: Any, status: Any) -> int:
    """Read the number out of a `COPY n` status."""
    return int(status.rpartition(" ")[2])


def _buffered(cursor: Any, row: Any) -> int:
    """Count what a trip brought: the row given out and those still in the buffer."""
    return 0 if row is None else 1 + len(cursor._buffer)


def _internal(original: Function) -> Function:
    """Mark everything that a coroutine function does as the driver's own work."""

    async def internal(self: Any, *args: Any, **kwargs: Any) -> Any:
        mark = mark_internal()
        try:
            return await original(self, *args, **kwargs)
        finally:
            unmark(mark)

    return internal


class _Adapter:
    """The wrappers. Each is a function of the original; together they share the probes."""

    def __init__(self, probes: Probes) -> None:
        self._probes = probes

    # --- whose --------------------------------------------------------------------------------------------------------

    def _probe(self, pool: Any) -> PoolProbe:
        queue = pool._queue
        probe: PoolProbe | None = queue.__dict__.get(PROBE)
        if probe is None:
            name, database = target_of(pool._connect_args, pool._connect_kwargs)
            probe = PoolProbe(
                self._probes.pools,
                name=name,
                database=database,
                min_size=pool._minsize,
                max_size=pool._maxsize,
                idle=_idle_in(weakref.ref(queue)),
                project=queue.__dict__.get(PROJECT),
            )
            setattr(queue, PROBE, probe)
            self._probes.pools.opened(probe)
        return probe

    def _series(self, connection: Any) -> TenantSeries:
        """Find out for whom a connection is used: its pool's tenant, its database's, or the current task's."""
        proxy = connection._proxy
        if proxy is not None:
            return self._probe(proxy._holder._pool).series()
        tenants = self._probes.tenants
        project = tenants.project_of(connection._params.database)
        return tenants.current() if project is None else tenants.of(project)

    def _begin(self, connection: Any, sql: str, operation: str | None = None) -> Statement | None:
        """Start timing a statement, unless it is the driver's own."""
        try:
            if is_internal():
                return None
            series = self._series(connection)
            self._probes.statements.tag_span(series)
            return self._probes.statements.begin(series, sql, operation)
        except Exception:
            faults.ignore("beginning a statement")
            return None

    # --- pools --------------------------------------------------------------------------------------------------------

    def acquire(self, original: Function) -> Function:
        async def _acquire(pool: Any, timeout: float | None) -> Any:  # noqa: ASYNC109  # the driver's signature
            wait = self._waiting(pool, timeout)
            if wait is None:
                return await original(pool, timeout)
            token = _wait.set(wait)
            try:
                connection = await original(pool, timeout)
            except BaseException as error:
                wait.failed(error)
                raise
            finally:
                _leave(token)
            wait.done()
            return connection

        return _acquire

    def _waiting(self, pool: Any, timeout: float | None) -> Wait | None:
        try:
            if pool._queue is None:
                return None
            wait = self._probe(pool).waiting(timeout, pool._queue.qsize())
            self._probes.statements.tag_span(wait.series)
            return wait
        except Exception:
            faults.ignore("beginning an acquire")
            return None

    def holder_acquire(self, original: Function) -> Function:
        async def acquire(holder: Any) -> Any:
            wait = _wait.get()
            if wait is not None:
                wait.turn()
            mark = mark_callback() if holder._setup is not None else None
            try:
                proxy = await original(holder)
            finally:
                if mark is not None:
                    unmark(mark)
            self._taken(holder, wait)
            return proxy

        return acquire

    def _taken(self, holder: Any, wait: Wait | None) -> None:
        try:
            probe = self._probe(holder._pool)
            probe.taken(holder, probe.series() if wait is None else wait.series)
        except Exception:
            faults.ignore("noting a connection taken")

    def holder_released(self, original: Function) -> Function:
        def _release(holder: Any) -> None:
            in_use = holder._in_use is not None
            original(holder)
            if in_use:
                try:
                    self._probe(holder._pool).returned(holder)
                except Exception:
                    faults.ignore("noting a connection returned")

        return _release

    def holder_connect(self, original: Function) -> Function:
        async def connect(holder: Any) -> None:
            connecting = self._connecting(holder._pool)
            mark = mark_callback()
            try:
                await original(holder)
            except BaseException as error:
                if connecting is not None:
                    connecting.failed(error)
                raise
            finally:
                unmark(mark)
            if connecting is not None:
                connecting.done()

        return connect

    def _connecting(self, pool: Any) -> Connecting | None:
        """Begin a connect that somebody waits for; a pool's upkeep is nobody's."""
        try:
            if is_internal():
                return None
            probe, wait = self._probe(pool), _wait.get()
            series = probe.series() if wait is None else wait.series
            return Connecting(self._probes.pools, series, probe, wait)
        except Exception:
            faults.ignore("beginning a connect")
            return None

    def close(self, original: Function) -> Function:
        async def close(pool: Any) -> None:
            try:
                await original(pool)
            finally:
                self._closed(pool)

        return close

    def terminate(self, original: Function) -> Function:
        def terminate(pool: Any) -> None:
            try:
                original(pool)
            finally:
                self._closed(pool)

        return terminate

    def _closed(self, pool: Any) -> None:
        try:
            probe = getattr(pool._queue, PROBE, None)
            if probe is not None and pool._closed:
                self._probes.pools.closed(probe)
        except Exception:
            faults.ignore("noting a closed pool")

    # --- connections of no pool ---------------------------------------------------------------------------------------

    def connect(self, original: Function) -> Function:
        async def _connect(*args: Any, **kwargs: Any) -> Any:
            connecting = self._connecting_alone(kwargs)
            mark = mark_internal()
            try:
                connection = await original(*args, **kwargs)
            except BaseException as error:
                if connecting is not None:
                    connecting.failed(error)
                raise
            finally:
                unmark(mark)
            if connecting is not None:
                connecting.done()
            return connection

        return _connect

    def _connecting_alone(self, kwargs: dict[str, Any]) -> Connecting | None:
        try:
            if is_internal():
                return None
            tenants = self._probes.tenants
            project = tenants.project_of(target_of((), kwargs)[1])
            series = tenants.current() if project is None else tenants.of(project)
            return Connecting(self._probes.pools, series, None, None)
        except Exception:
            faults.ignore("beginning a connect")
            return None

    # --- statements ---------------------------------------------------------------------------------------------------

    def of_connection(self, sql_name: str) -> Begin:
        """Begin statements whose text is a method's first parameter, called `sql_name`."""

        def begin(connection: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Statement | None:
            return self._begin(connection, args[0] if args else kwargs.get(sql_name, ""))

        return begin

    def of_copy(self, connection: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Statement | None:
        return self._begin(connection, "", "COPY")

    def of_prepared(self, prepared: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Statement | None:
        return self._begin(prepared._connection, prepared._query)

    def of_cursor(self, cursor: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Statement | None:
        """Begin a cursor: opening it is its statement; every further trip to the server is a FETCH."""
        return self._begin(cursor._connection, cursor._query)

    def of_fetch(self, cursor: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Statement | None:
        return None if cursor._exhausted else self._begin(cursor._connection, "", "FETCH")

    def of_iteration(self, cursor: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Statement | None:
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
                self._control_failed(transaction._connection, error)
                raise
            finally:
                unmark(mark)

        return run

    def prepare(self, original: Function) -> Function:
        """Wrap preparing: no statement ran, but a failure is the application's to know."""

        async def prepare(connection: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                return await original(connection, *args, **kwargs)
            except BaseException as error:
                if not is_internal():
                    self._control_failed(connection, error)
                raise

        return prepare

    def _control_failed(self, connection: Any, error: BaseException) -> None:
        try:
            self._probes.statements.control_failed(self._series(connection), error)
        except Exception:
            faults.ignore("measuring a failed transaction")


def _timed(begin: Begin, rows: Rows) -> Callable[[Function], Function]:
    """Make the one wrapper of everything that runs a statement."""

    def wrap(original: Function) -> Function:
        async def run(subject: Any, *args: Any, **kwargs: Any) -> Any:
            statement = begin(subject, args, kwargs)
            if statement is None:
                return await original(subject, *args, **kwargs)
            try:
                result = await original(subject, *args, **kwargs)
            except StopAsyncIteration:
                statement.done(rows, subject, None)
                raise
            except BaseException as error:
                statement.failed(error, driver_timeout=_limited(subject, kwargs))
                raise
            statement.done(rows, subject, result)
            return result

        return run

    return wrap


def _limited(subject: Any, kwargs: dict[str, Any]) -> bool:
    """Say whether the driver had a time limit for this call, so that a TimeoutError can be its own."""
    try:
        connection = getattr(subject, "_connection", subject)
        return kwargs.get("timeout") is not None or connection._config.command_timeout is not None
    except Exception:
        faults.ignore("reading a time limit")
        return False


def _idle_in(reference: weakref.ref[Any]) -> Callable[[], int]:
    """Make a function that counts the open connections waiting in a pool's queue, if the pool still exists."""

    def idle() -> int:
        queue = reference()
        return 0 if queue is None else sum(map(_is_open, list(queue._queue)))

    return idle


def _is_open(holder: Any) -> bool:
    """Say whether a holder has an open connection; called on another thread, which its closing may race with."""
    connection = holder._con
    try:
        return connection is not None and not connection.is_closed()
    except AttributeError:
        return False


def _leave(token: Token[Wait | None]) -> None:
    with suppress(ValueError):  # closed late, in another context than it was opened in: that context is gone anyway
        _wait.reset(token)
