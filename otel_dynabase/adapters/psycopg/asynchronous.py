"""Wrappers of what is awaited; `blocking` has the same ones for threads, and says what each is for."""

from __future__ import annotations

from contextlib import asynccontextmanager
from time import perf_counter
from typing import TYPE_CHECKING, Any

from otel_dynabase.adapters.psycopg.blocking import begun, leave
from otel_dynabase.adapters.psycopg.statements import as_counted, copied, is_copy_out
from otel_dynabase.probes.acquire import current_wait
from otel_dynabase.tenant import Mark, is_internal, mark_connecting, mark_internal, marked, unmark

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable

    from otel_dynabase.adapters.psycopg.pools import PoolRecords
    from otel_dynabase.adapters.psycopg.statements import Begin, Rows, StatementRecords

    Function = Callable[..., Any]
    Wrap = Callable[[Function], Function]


def internal(original: Function) -> Function:
    """Wrap a coroutine function whose statements are the driver's own work."""

    async def run(*args: Any, **kwargs: Any) -> Any:
        token = mark_internal()
        try:
            return await original(*args, **kwargs)
        finally:
            unmark(token)

    return run


class AsyncStatements:
    """Wrappers of what runs statements."""

    def __init__(self, records: StatementRecords) -> None:
        self._records = records

    @staticmethod
    def timed(begin: Begin, rows: Rows) -> Wrap:
        """Make the wrapper of a method that runs a statement."""

        def wrap(original: Function) -> Function:
            async def run(subject: Any, *args: Any, **kwargs: Any) -> Any:
                series = begun(begin, subject, args, kwargs)
                if series is None:
                    return await original(subject, *args, **kwargs)
                began = perf_counter()
                try:
                    result = await original(subject, *args, **kwargs)
                except BaseException as error:
                    series.failed(began, error, driver_timeout=False)
                    raise
                series.done(began, rows, subject, result)
                return result

            return run

        return wrap

    def batch(self, begin: Begin, rows: Rows) -> Wrap:
        """Make the wrapper of a method that runs a statement many times, in a pipeline of the driver's own."""
        wrap = self.timed(begin, rows)
        return lambda original: wrap(internal(original))

    def control(self, original: Function) -> Function:
        """Wrap what runs the driver's statements, and whose failure is the application's to know."""

        async def run(subject: Any, *args: Any, **kwargs: Any) -> Any:
            if marked() is not None and is_internal():
                return await original(subject, *args, **kwargs)
            token = mark_internal()
            try:
                return await original(subject, *args, **kwargs)
            except BaseException as error:
                self._records.control_failed(subject, error)
                raise
            finally:
                unmark(token)

        return run

    def stream(self, original: Function) -> Function:
        """Wrap AsyncCursor.stream."""

        async def stream(cursor: Any, *args: Any, **kwargs: Any) -> AsyncGenerator[Any]:
            rows = original(cursor, *args, **kwargs)
            series = begun(self._records.of_query, cursor, args, kwargs)
            spent, count = 0.0, 0
            while True:
                resumed = perf_counter()
                try:
                    row = await anext(rows)
                except StopAsyncIteration:
                    break
                except BaseException as error:
                    if series is not None:
                        series.failed(resumed - spent, error, driver_timeout=False)
                    raise
                spent += perf_counter() - resumed
                count += 1
                try:
                    yield row
                except BaseException as error:
                    if series is not None:
                        series.done(perf_counter() - spent, as_counted, cursor, count)
                    await rows.athrow(error)
                    raise
            if series is not None:
                series.done(resumed - spent, as_counted, cursor, count)

        return stream

    def copy(self, original: Function) -> Function:
        """Wrap AsyncCursor.copy."""

        @asynccontextmanager
        async def copy(cursor: Any, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
            series = begun(self._records.of_copy, cursor, args, kwargs)
            if series is None:
                async with original(cursor, *args, **kwargs) as block:
                    yield block
                return
            began = perf_counter()
            try:
                async with original(cursor, *args, **kwargs) as block:
                    out = is_copy_out(cursor)
                    yield block
            except BaseException as error:
                series.failed(began, error, driver_timeout=False)
                raise
            series.done(began, as_counted, cursor, copied(cursor) if out else None)

        return copy


class AsyncPools:
    """Wrappers of what pools do, in tasks."""

    def __init__(self, records: PoolRecords) -> None:
        self._records = records

    def getconn(self, original: Function) -> Function:
        """Wrap AsyncConnectionPool.getconn."""

        async def getconn(pool: Any, timeout: float | None = None) -> Any:  # noqa: ASYNC109  # the pool's signature
            wait = self._records.begin(pool)
            if wait is None:
                return await original(pool, timeout)
            outer = current_wait.get()
            token = current_wait.set(wait)
            try:
                connection = await original(pool, timeout)
            except BaseException as error:
                self._records.failed(wait, error, outer)
                raise
            finally:
                leave(token)
            self._records.given(wait, connection)
            return connection

        return getconn

    def ready(self, original: Function) -> Function:
        """Wrap _get_ready_connection."""

        async def _get_ready_connection(
            pool: Any,
            timeout: float | None,  # noqa: ASYNC109  # the pool's signature
        ) -> Any:
            connection = await original(pool, timeout)
            self._records.promised(connection, pool)
            return connection

        return _get_ready_connection

    def lining_up(self, original: Function) -> Function:
        """Wrap the making of a place in the line (WaitingClient), which is not awaited."""

        def __init__(client: Any) -> None:  # noqa: N807  # replaces that method
            original(client)
            self._records.lines_up()

        return __init__

    def wait_in_line(self, original: Function) -> Function:
        """Wrap WaitingClient.wait."""

        async def wait(client: Any, timeout: float) -> Any:  # noqa: ASYNC109  # the pool's signature
            connection = await original(client, timeout)
            self._records.has_turn()
            return connection

        return wait

    def serve_line(self, original: Function) -> Function:
        """Wrap WaitingClient.set."""

        async def set(client: Any, conn: Any) -> bool:  # noqa: A001  # the pool's name
            accepted: bool = await original(client, conn)
            if accepted:
                self._records.promised(conn, conn)
            return accepted

        return set

    def check_connection(self, original: Function) -> Function:
        """Wrap _check_connection."""

        async def checked(pool: Any, conn: Any) -> None:
            mark = Mark()
            try:
                await original(pool, conn)
            finally:
                mark.end()

        def _check_connection(pool: Any, conn: Any) -> Any:
            return (original if pool._check is None else checked)(pool, conn)

        return _check_connection

    def connect(self, original: Function) -> Function:
        """Wrap _connect."""

        async def _connect(pool: Any, *args: Any, **kwargs: Any) -> Any:
            making, mark = self._records.begin_connect(pool), Mark()
            try:
                connection = await original(pool, *args, **kwargs)
            except BaseException as error:
                if making is not None:
                    making.failed(error)
                raise
            finally:
                mark.end()
            self._records.connected(pool, making, connection)
            return connection

        return _connect

    def putconn(self, original: Function) -> Function:
        """Wrap AsyncConnectionPool.putconn."""

        async def putconn(pool: Any, conn: Any) -> None:
            self._records.comes_back(pool, conn)
            await original(pool, conn)

        return putconn

    def return_connection(self, original: Function) -> Function:
        """Wrap _return_connection."""

        async def _return_connection(pool: Any, conn: Any, *args: Any, **kwargs: Any) -> None:
            self._records.taken_in(pool, conn)
            token = mark_internal()
            try:
                await original(pool, conn, *args, **kwargs)
            finally:
                unmark(token)

        return _return_connection

    def closing(self, original: Function) -> Function:
        """Wrap AsyncConnectionPool.close."""

        async def close(pool: Any, *args: Any, **kwargs: Any) -> None:
            try:
                await original(pool, *args, **kwargs)
            finally:
                self._records.closed(pool)

        return close

    @staticmethod
    def upkeep(original: Function) -> Function:
        """Wrap MaintenanceTask.run."""

        async def run(task: Any) -> None:
            token, mark = current_wait.set(None), mark_connecting()
            try:
                await original(task)
            finally:
                mark.end()
                leave(token)

        return run
