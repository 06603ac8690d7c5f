"""Wrappers of what blocks a thread; `asynchronous` has the same ones, awaited."""

from __future__ import annotations

from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING, Any

from otel_dynabase import faults
from otel_dynabase.adapters.psycopg.statements import as_counted, copied, is_copy_out
from otel_dynabase.probes.acquire import current_wait
from otel_dynabase.tenant import Mark, is_internal, mark_connecting, mark_internal, marked, unmark

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from contextvars import Token

    from otel_dynabase.adapters.psycopg.pools import PoolRecords
    from otel_dynabase.adapters.psycopg.statements import Begin, Rows, StatementRecords
    from otel_dynabase.probes.acquire import Wait
    from otel_dynabase.probes.statement import StatementSeries

    Function = Callable[..., Any]
    Wrap = Callable[[Function], Function]


def leave(token: Token[Wait | None]) -> None:
    """End a wait in this context."""
    try:
        current_wait.reset(token)
    except ValueError:  # ended late, in another context than it began in: that context is gone anyway
        pass


def begun(begin: Begin, subject: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> StatementSeries | None:
    """Begin a statement, unless it is the driver's own or somebody's upkeep."""
    try:
        if marked() is None or not is_internal():
            return begin(subject, args, kwargs)
    except Exception:
        faults.ignore("beginning a statement")
    return None


def internal(original: Function) -> Function:
    """Wrap a function whose statements are the driver's own work."""

    def run(*args: Any, **kwargs: Any) -> Any:
        token = mark_internal()
        try:
            return original(*args, **kwargs)
        finally:
            unmark(token)

    return run


class BlockingStatements:
    """Wrappers of what runs statements."""

    def __init__(self, records: StatementRecords) -> None:
        self._records = records

    @staticmethod
    def timed(begin: Begin, rows: Rows) -> Wrap:
        """Make the wrapper of a method that runs a statement."""

        def wrap(original: Function) -> Function:
            def run(subject: Any, *args: Any, **kwargs: Any) -> Any:
                series = begun(begin, subject, args, kwargs)
                if series is None:
                    return original(subject, *args, **kwargs)
                began = perf_counter()
                try:
                    result = original(subject, *args, **kwargs)
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

        def run(subject: Any, *args: Any, **kwargs: Any) -> Any:
            if marked() is not None and is_internal():
                return original(subject, *args, **kwargs)
            token = mark_internal()
            try:
                return original(subject, *args, **kwargs)
            except BaseException as error:
                self._records.control_failed(subject, error)
                raise
            finally:
                unmark(token)

        return run

    def stream(self, original: Function) -> Function:
        """Wrap Cursor.stream, one statement; the time that the application takes for its rows is not the database's."""

        def stream(cursor: Any, *args: Any, **kwargs: Any) -> Generator[Any]:
            rows = original(cursor, *args, **kwargs)
            series = begun(self._records.of_query, cursor, args, kwargs)
            if series is None:
                yield from rows
                return
            spent, count = 0.0, 0
            while True:
                resumed = perf_counter()
                try:
                    row = next(rows)
                except StopIteration:
                    break
                except BaseException as error:
                    series.failed(resumed - spent, error, driver_timeout=False)
                    raise
                spent += perf_counter() - resumed
                count += 1
                try:
                    yield row
                except BaseException as error:
                    series.done(perf_counter() - spent, as_counted, cursor, count)
                    rows.throw(error)
                    raise
            series.done(resumed - spent, as_counted, cursor, count)

        return stream

    def copy(self, original: Function) -> Function:
        """Wrap Cursor.copy, a context manager: one statement, as long as the block."""

        @contextmanager
        def copy(cursor: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
            series = begun(self._records.of_copy, cursor, args, kwargs)
            if series is None:
                with original(cursor, *args, **kwargs) as block:
                    yield block
                return
            began = perf_counter()
            try:
                with original(cursor, *args, **kwargs) as block:
                    out = is_copy_out(cursor)
                    yield block
            except BaseException as error:
                series.failed(began, error, driver_timeout=False)
                raise
            series.done(began, as_counted, cursor, copied(cursor) if out else None)

        return copy


class BlockingPools:
    """Wrappers of what pools do, in threads."""

    def __init__(self, records: PoolRecords) -> None:
        self._records = records

    def getconn(self, original: Function) -> Function:
        """Wrap ConnectionPool.getconn, which every acquire goes through."""

        def getconn(pool: Any, timeout: float | None = None) -> Any:
            wait = self._records.begin(pool)
            if wait is None:
                return original(pool, timeout)
            outer = current_wait.get()
            token = current_wait.set(wait)
            try:
                connection = original(pool, timeout)
            except BaseException as error:
                self._records.failed(wait, error, outer)
                raise
            finally:
                leave(token)
            self._records.given(wait, connection)
            return connection

        return getconn

    def ready(self, original: Function) -> Function:
        """Wrap _get_ready_connection, which takes a connection out of the stock."""

        def _get_ready_connection(pool: Any, timeout: float | None) -> Any:
            connection = original(pool, timeout)
            self._records.promised(connection, pool)
            return connection

        return _get_ready_connection

    def lining_up(self, original: Function) -> Function:
        """Wrap the making of a place in the line (WaitingClient), which blocks nobody."""

        def __init__(client: Any) -> None:  # noqa: N807  # replaces that method
            original(client)
            self._records.lines_up()

        return __init__

    def wait_in_line(self, original: Function) -> Function:
        """Wrap WaitingClient.wait, by the client."""

        def wait(client: Any, timeout: float) -> Any:
            connection = original(client, timeout)
            self._records.has_turn()
            return connection

        return wait

    def serve_line(self, original: Function) -> Function:
        """Wrap WaitingClient.set, by whoever has a connection for the client, which may have left."""

        def set(client: Any, conn: Any) -> bool:  # noqa: A001  # the pool's name
            accepted: bool = original(client, conn)
            if accepted:
                self._records.promised(conn, conn)
            return accepted

        return set

    def check_connection(self, original: Function) -> Function:
        """Wrap _check_connection: a pool's `check` callback is upkeep; without one there is nothing to mark."""

        def _check_connection(pool: Any, conn: Any) -> Any:
            if pool._check is None:
                return original(pool, conn)
            mark = Mark()
            try:
                return original(pool, conn)
            finally:
                mark.end()

        return _check_connection

    def connect(self, original: Function) -> Function:
        """Wrap _connect: a pool's connection, with the application's `configure`."""

        def _connect(pool: Any, *args: Any, **kwargs: Any) -> Any:
            making, mark = self._records.begin_connect(pool), Mark()
            try:
                connection = original(pool, *args, **kwargs)
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
        """Wrap ConnectionPool.putconn."""

        def putconn(pool: Any, conn: Any) -> None:
            self._records.comes_back(pool, conn)
            original(pool, conn)

        return putconn

    def return_connection(self, original: Function) -> Function:
        """Wrap _return_connection: rolling back and `reset` are upkeep."""

        def _return_connection(pool: Any, conn: Any, *args: Any, **kwargs: Any) -> None:
            self._records.taken_in(pool, conn)
            token = mark_internal()
            try:
                original(pool, conn, *args, **kwargs)
            finally:
                unmark(token)

        return _return_connection

    def closing(self, original: Function) -> Function:
        """Wrap ConnectionPool.close."""

        def close(pool: Any, *args: Any, **kwargs: Any) -> None:
            try:
                original(pool, *args, **kwargs)
            finally:
                self._records.closed(pool)

        return close

    @staticmethod
    def upkeep(original: Function) -> Function:
        """Wrap MaintenanceTask.run: what workers do is for nobody, whatever context they were started in."""

        def run(task: Any) -> None:
            token, mark = current_wait.set(None), mark_connecting()
            try:
                original(task)
            finally:
                mark.end()
                leave(token)

        return run
