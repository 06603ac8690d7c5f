"""psycopg's statements: how each kind begins, and how many rows it gives."""

from __future__ import annotations

from asyncio import CancelledError
from typing import TYPE_CHECKING, Any

from psycopg.pq import ExecStatus
from psycopg.sql import SQL, Composed

from otel_dynabase import faults
from otel_dynabase.adapters.psycopg.connections import PROBE
from otel_dynabase.probes.failures import canceled_on_request

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_dynabase.adapters.psycopg.connections import ConnectionWrappers
    from otel_dynabase.probes import Probes
    from otel_dynabase.probes.pool import PoolProbe
    from otel_dynabase.probes.statement import StatementSeries

    Rows = Callable[[Any, Any], int | None]
    """How many rows a result is, given what ran it; None where it gives the application none."""
    Begin = Callable[[Any, tuple[Any, ...], dict[str, Any]], StatementSeries | None]


def no_rows(_cursor: Any, _result: Any) -> None:
    """Count nothing: the statement gives the application no rows."""


def in_result(cursor: Any, _result: Any) -> int | None:
    """Count the rows of a cursor's result; in pipeline mode it has none yet."""
    result = cursor.pgresult
    return result.ntuples if result is not None and result.nfields else None


def in_results(cursor: Any, _result: Any) -> int | None:
    """Count the rows of all results of `executemany(…, returning=True)`."""
    results = cursor._results
    return sum(result.ntuples for result in results) if results and results[0].nfields else None


def in_list(_cursor: Any, rows: Any) -> int:
    """Count a list of rows."""
    return len(rows)


def as_counted(_cursor: Any, rows: Any) -> int | None:
    """Take the number that was counted on the way."""
    count: int | None = rows
    return count


def is_copy_out(cursor: Any) -> bool:
    """Say whether the COPY that a cursor has just begun gives the application rows."""
    try:
        return bool(cursor.pgresult.status == ExecStatus.COPY_OUT)
    except Exception:
        faults.ignore("reading the direction of a COPY")
        return False


def copied(cursor: Any) -> int | None:
    """Read how many rows a COPY that has ended gave; None if it was broken off."""
    count: int = cursor.rowcount
    return None if count < 0 else count


def text_of(query: Any) -> str:
    """Return as much of a statement's text as shows its command: what is composed in is left out."""
    if isinstance(query, str):
        return query
    if isinstance(query, bytes):
        return query.decode("utf-8", "replace")
    if isinstance(query, Composed):
        return "".join(map(text_of, query))
    if isinstance(query, SQL):
        return query.as_string(None)
    return " ? ".join(getattr(query, "strings", ("?",)))  # a template string (Python 3.14), or a part of a Composed


class StatementRecords:
    """What wrappers, blocking and asynchronous alike, tell the probes of statements."""

    def __init__(self, probes: Probes, connections: ConnectionWrappers) -> None:
        self._statements = probes.statements
        self._connections = connections

    def of_query(self, cursor: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> StatementSeries:
        """Begin a statement whose text is the first parameter, `query`."""
        return self._begin(cursor._conn, args[0] if args else kwargs.get("query", ""))

    def of_copy(self, cursor: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> StatementSeries:
        """Begin a COPY, whose text is the first parameter, `statement`."""
        return self._begin(cursor._conn, args[0] if args else kwargs.get("statement", ""))

    def _begin(self, connection: Any, query: Any) -> StatementSeries:
        if type(query) is str:
            probe: PoolProbe | None = connection.__dict__.get(PROBE)
            if probe is not None:
                return probe.statements.get(query) or self._statements.bind(probe, query)
        return self._statements.series(self._connections.series_of(connection), text_of(query))

    def of_fetch(self, cursor: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> StatementSeries:
        """Begin a trip of a server-side cursor to the server."""
        return self._statements.series(self._connections.series_of(cursor._conn), "", "FETCH")

    def control_failed(self, subject: Any, error: BaseException) -> None:
        """Account for a failure of what is not a statement; `subject` is a connection, or belongs to one."""
        try:
            connection = getattr(subject, "_conn", subject)
            self._statements.control_failed(self._connections.series_of(connection), error)
        except Exception:
            faults.ignore("measuring a failed transaction")


def as_seen(error: BaseException) -> BaseException:
    """Return a trip's failure as its caller sees it, to whom it is a cancellation if the driver has asked for it."""
    return CancelledError() if canceled_on_request(error) else error
